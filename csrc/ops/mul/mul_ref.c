#include "mul.h"

#include "../../common/bits.h"
#include "../../common/dot.h"
#include "../../common/fixed_point.h"

void kg_mul_ref_s8(const kg_mul_args *a, const kg_memory *mem) {
  const kg_broadcast *s = &a->shape;
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->x2);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  kg_bit_writer mask = kg_bits_begin((uint8_t *)kg_out(mem, a->mask));

  for (int32_t row = 0; row < s->size_0 * s->size_1 * s->size_2; ++row) {
    const int32_t i0 = row / (s->size_1 * s->size_2), i1 = row / s->size_2 % s->size_1, i2 = row % s->size_2;
    const int8_t *p1 = x1 + i0 * s->a_0 + i1 * s->a_1 + i2 * s->a_2;
    const int8_t *p2 = x2 + i0 * s->b_0 + i1 * s->b_1 + i2 * s->b_2;
    for (int32_t i = 0; i < s->size_3; ++i) {
      int32_t product = (p1[i * s->a_3] - a->x1_zero) * (p2[i * s->b_3] - a->x2_zero);
      int32_t v = kg_add_wrap(kg_requantize(product, a->multiplier, a->shift), a->y_zero);
      int32_t q = kg_clamp_s32(v, a->y_min, a->y_max);
      kg_bits_put(&mask, q == v);
      *y++ = (int8_t)q;
    }
  }
  kg_bits_end(&mask);
}
