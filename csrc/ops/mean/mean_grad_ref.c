#include "mean.h"

void kg_mean_grad_ref_s8(const kg_mean_grad_args *a, const kg_memory *mem) {
  const kg_reduce_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  /* strides in gy, 0 along the averaged axes */
  const int32_t s3 = s->over3 ? 0 : 1, n3 = s->over3 ? 1 : s->d3;
  const int32_t s2 = s->over2 ? 0 : n3, n2 = s->over2 ? n3 : n3 * s->d2;
  const int32_t s1 = s->over1 ? 0 : n2, n1 = s->over1 ? n2 : n2 * s->d1;
  const int32_t s0 = s->over0 ? 0 : n1;
  kg_error_writer out = kg_error_begin(mem, &a->gx, e - a->reciprocal_shift);
  int32_t index = 0;
  for (int32_t i = 0; i < s->d0; ++i)
    for (int32_t j = 0; j < s->d1; ++j)
      for (int32_t k = 0; k < s->d2; ++k)
        for (int32_t l = 0; l < s->d3; ++l) kg_error_put(&out, index++, gy[i * s0 + j * s1 + k * s2 + l * s3] * a->reciprocal);
  kg_error_end(&out);
}
