#include "add.h"

static void check_multiplier(kg_check *c, int32_t multiplier, int32_t shift) {
  kg_check_range(c, multiplier, 0, INT32_MAX);
  kg_check_range(c, shift, -31, 0);
}

int32_t kg_add_check(const kg_add_args *a, kg_check *c) {
  const kg_broadcast *s = &a->shape;
  int64_t n = kg_check_broadcast(c, s);
  if (!c->ok) return 0;
  kg_check_range(c, a->x1_zero, -128, 127);
  kg_check_range(c, a->x2_zero, -128, 127);
  kg_check_range(c, a->y_zero, -128, 127);
  kg_check_range(c, a->y_min, -128, a->y_max);
  kg_check_range(c, a->y_max, a->y_min, 127);
  check_multiplier(c, a->x1_multiplier, a->x1_shift);
  check_multiplier(c, a->x2_multiplier, a->x2_shift);
  check_multiplier(c, a->y_multiplier, a->y_shift);
  kg_check_read(c, a->x1, kg_broadcast_span(c, s, s->a_0, s->a_1, s->a_2, s->a_3), 1);
  kg_check_read(c, a->x2, kg_broadcast_span(c, s, s->b_0, s->b_1, s->b_2, s->b_3), 1);
  /* y may share the place of an operand only where both walk memory alike */
  const int32_t whole_1 = kg_broadcast_is_whole(s, s->a_0, s->a_1, s->a_2, s->a_3);
  const int32_t whole_2 = kg_broadcast_is_whole(s, s->b_0, s->b_1, s->b_2, s->b_3);
  const int32_t shares_1 = a->y == a->x1, shares_2 = a->y == a->x2;
  const int32_t allowed = (shares_1 || shares_2) && (whole_1 || !shares_1) && (whole_2 || !shares_2);
  kg_check_write(c, a->y, n, 1, allowed ? a->y : KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (n + 7) / 8, 1);
  return kg_check_end(c);
}
