#include "mul.h"

void kg_mul_grad_ref_s8(const kg_mul_grad_args *a, const kg_memory *mem) {
  const kg_broadcast *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *other = (const int8_t *)kg_in(mem, a->other);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e - a->fold_exponent);
  int32_t index = 0;

  for (int32_t row = 0; row < kg_broadcast_rows(s); ++row) {
    const int8_t *p = other + kg_broadcast_row(s, row, s->b_0, s->b_1, s->b_2);
    for (int32_t i = 0; i < s->size_3; ++i, ++index)
      kg_error_put(&out, index, gy[index] * (p[i * s->b_3] - a->other_zero) * a->fold);
  }
  kg_error_end(&out);
}
