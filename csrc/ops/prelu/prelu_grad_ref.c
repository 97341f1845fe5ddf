#include "prelu.h"

void kg_prelu_grad_ref_s8(const kg_prelu_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int16_t *slope = (const int16_t *)kg_in(mem, a->slope);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e + a->unit);
  int32_t c = 0;
  for (int32_t i = 0; i < a->count; ++i) {
    kg_error_put(&out, i, gy[i] * (x[i] < a->x_zero ? slope[c] : a->one));
    c = c + 1 == a->period ? 0 : c + 1;
  }
  kg_error_end(&out);
}
