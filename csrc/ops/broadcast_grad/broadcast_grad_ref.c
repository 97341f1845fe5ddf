#include "broadcast_grad.h"

void kg_broadcast_grad_ref_s8(const kg_broadcast_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  const kg_reduce r = kg_reduce_begin(&a->shape);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e);
  for (int32_t o = 0; o < r.outputs; ++o) kg_error_put(&out, o, a->sign * kg_reduce_sum(&r, o, gy, 0));
  kg_error_end(&out);
}
