#include "add.h"

static void check_multiplier(kg_check *c, int32_t multiplier, int32_t shift) {
  kg_check_range(c, multiplier, 0, INT32_MAX);
  kg_check_range(c, shift, -31, 0);
}

int32_t kg_add_check(const kg_add_args *a, kg_check *c) {
  int64_t n = kg_check_broadcast(c, &a->shape);
  if (!c->ok) return 0;
  kg_check_s8(c, a->x1_zero);
  kg_check_s8(c, a->x2_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  check_multiplier(c, a->x1_multiplier, a->x1_shift);
  check_multiplier(c, a->x2_multiplier, a->x2_shift);
  check_multiplier(c, a->y_multiplier, a->y_shift);
  kg_check_elementwise(c, &a->shape, n, a->x1, a->x2, a->y, a->mask);
  return kg_check_end(c);
}
