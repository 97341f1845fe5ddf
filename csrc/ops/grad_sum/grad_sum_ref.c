#include "grad_sum.h"

void kg_grad_sum_ref_s8(const kg_grad_sum_args *args, const kg_memory *mem) {
  const int8_t *a = (const int8_t *)kg_in(mem, args->a);
  const int8_t *b = (const int8_t *)kg_in(mem, args->b);
  const int32_t ea = kg_error_exponent(mem, args->a_exponent);
  const int32_t eb = kg_error_exponent(mem, args->b_exponent);
  const int32_t unit = (ea > eb ? ea : eb) - KG_GRAD_SUM_HEADROOM;
  kg_error_writer out = kg_error_begin(mem, &args->sum, unit);
  for (int32_t i = 0; i < args->count; ++i) {
    int64_t sum = kg_scale_pow2_s64(a[i], ea - unit) + kg_scale_pow2_s64(b[i], eb - unit);
    kg_error_put(&out, i, (int32_t)sum); /* at most 2 * 128 * 2^20 */
  }
  kg_error_end(&out);
}
