#include "squared_difference.h"

void kg_squared_difference_grad_ref_s8(const kg_squared_difference_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->x2);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e - a->fold_exponent);
  for (kg_pair p = kg_pair_begin(&a->shape); kg_pair_more(&p); kg_pair_next(&p)) {
    const int32_t difference = (x1[p.a] - a->x1_zero) * a->x1_fold - (x2[p.b] - a->x2_zero) * a->x2_fold;
    kg_error_put(&out, p.index, gy[p.index] * difference);
  }
  kg_error_end(&out);
}
