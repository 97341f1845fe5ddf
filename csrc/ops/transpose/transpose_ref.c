#include "transpose.h"

void kg_transpose_ref_s8(const kg_transpose_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  for (int32_t i = 0; i < a->d0; ++i)
    for (int32_t j = 0; j < a->d1; ++j)
      for (int32_t k = 0; k < a->d2; ++k)
        for (int32_t l = 0; l < a->d3; ++l) *y++ = x[i * a->s0 + j * a->s1 + k * a->s2 + l * a->s3];
}
