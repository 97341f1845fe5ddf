#include "add.h"

#include "../../common/output.h"

static int32_t scaled(int32_t x, int32_t zero, int32_t multiplier, int32_t shift) {
  return kg_requantize(kg_shl_s32(x - zero, KG_ADD_LEFT_SHIFT), multiplier, shift);
}

void kg_add_ref_s8(const kg_add_args *a, const kg_memory *mem) {
  const kg_broadcast *s = &a->shape;
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->x2);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, a->y_min, a->y_max);

  for (int32_t row = 0; row < kg_broadcast_rows(s); ++row) {
    const int8_t *p1 = x1 + kg_broadcast_row(s, row, s->a_0, s->a_1, s->a_2);
    const int8_t *p2 = x2 + kg_broadcast_row(s, row, s->b_0, s->b_1, s->b_2);
    for (int32_t i = 0; i < s->size_3; ++i) {
      int32_t sum = kg_add_wrap(scaled(p1[i * s->a_3], a->x1_zero, a->x1_multiplier, a->x1_shift),
                                scaled(p2[i * s->b_3], a->x2_zero, a->x2_multiplier, a->x2_shift));
      kg_output_put(&out, kg_requantize(sum, a->y_multiplier, a->y_shift));
    }
  }
  kg_output_end(&out);
}
