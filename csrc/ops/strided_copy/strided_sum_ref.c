#include "strided_copy.h"

static int32_t box_sum(const int8_t *gy, const kg_strided_sum_shape *s) {
  int32_t sum = 0;
  for (int32_t i = 0; i < s->many_0; ++i)
    for (int32_t j = 0; j < s->many_1; ++j)
      for (int32_t k = 0; k < s->many_2; ++k)
        for (int32_t l = 0; l < s->many_3; ++l) sum += gy[i * s->step_0 + j * s->step_1 + k * s->step_2 + l * s->step_3];
  return sum;
}

void kg_strided_sum_ref_s8(const kg_strided_sum_args *a, const kg_memory *mem) {
  const kg_strided_sum_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  kg_error_writer out = kg_error_begin(mem, &a->gx, kg_error_exponent(mem, a->gy_exponent));
  int32_t index = 0;
  for (int32_t i = 0; i < s->size_0; ++i)
    for (int32_t j = 0; j < s->size_1; ++j)
      for (int32_t k = 0; k < s->size_2; ++k)
        for (int32_t l = 0; l < s->size_3; ++l)
          kg_error_put(&out, index++, box_sum(gy + i * s->y_0 + j * s->y_1 + k * s->y_2 + l * s->y_3, s));
  kg_error_end(&out);
}
