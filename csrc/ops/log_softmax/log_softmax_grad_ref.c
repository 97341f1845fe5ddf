#include "log_softmax.h"

void kg_log_softmax_grad_ref_s8(const kg_log_softmax_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *y = (const int8_t *)kg_in(mem, a->y);
  const int16_t *table = (const int16_t *)kg_in(mem, a->table);
  kg_error_writer out = kg_error_begin(mem, &a->gx, kg_error_exponent(mem, a->gy_exponent) - 14);
  for (int32_t r = 0; r < a->rows; ++r) {
    const int32_t first = r * a->depth;
    int32_t sum = 0;
    for (int32_t c = 0; c < a->depth; ++c) sum += gy[first + c];
    for (int32_t c = 0; c < a->depth; ++c) {
      const int64_t v = (int64_t)gy[first + c] * (1 << 14) - (int64_t)table[y[first + c] + 128] * sum;
      kg_error_put(&out, first + c, kg_sat_s32(v));
    }
  }
  kg_error_end(&out);
}
