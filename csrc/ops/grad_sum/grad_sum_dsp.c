#include "../../common/dsp/errors.h"
#include "grad_sum.h"

enum { ROW = 32 };

/* row[i] = a[i] * 2^shift_a + b[i] * 2^shift_b */
static void add_row(int32_t *row, const int8_t *a, const int8_t *b, int32_t count, int32_t shift_a, int32_t shift_b) {
  if (shift_a >= 0 && shift_b >= 0) { /* at most KG_GRAD_SUM_HEADROOM */
    const int32_t one_a = (int32_t)1 << shift_a, one_b = (int32_t)1 << shift_b;
    for (int32_t i = 0; i < count; ++i) row[i] = a[i] * one_a + b[i] * one_b;
    return;
  }
  for (int32_t i = 0; i < count; ++i) row[i] = (int32_t)(kg_scale_pow2_s64(a[i], shift_a) + kg_scale_pow2_s64(b[i], shift_b));
}

void kg_grad_sum_dsp_s8(const kg_grad_sum_args *args, const kg_memory *mem) {
  const int8_t *a = (const int8_t *)kg_in(mem, args->a);
  const int8_t *b = (const int8_t *)kg_in(mem, args->b);
  const int32_t ea = kg_error_exponent(mem, args->a_exponent);
  const int32_t eb = kg_error_exponent(mem, args->b_exponent);
  const int32_t unit = (ea > eb ? ea : eb) - KG_GRAD_SUM_HEADROOM;
  kg_error_writer out = kg_error_begin(mem, &args->sum, unit);
  for (int32_t i = 0; i < args->count; i += ROW) {
    const int32_t count = args->count - i < ROW ? args->count - i : ROW;
    int32_t row[ROW];
    add_row(row, a + i, b + i, count, ea - unit, eb - unit);
    kg_error_put_row(&out, i, row, count);
  }
  kg_error_end(&out);
}
