#include "maximum.h"

static int32_t check(const kg_maximum_args *a, kg_check *c, uint32_t width) {
  const int64_t n = kg_check_broadcast(c, &a->shape);
  if (!c->ok) return 0;
  kg_check_range(c, a->minimum, 0, 1);
  kg_check_elementwise(c, &a->shape, n, a->x1, a->x2, a->y, width);
  kg_check_write_opt(c, a->x1_wins, (n + 7) / 8, 1);
  kg_check_write_opt(c, a->x2_wins, (n + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_maximum_s8_check(const kg_maximum_args *a, kg_check *c) { return check(a, c, 1); }

int32_t kg_maximum_s16_check(const kg_maximum_args *a, kg_check *c) { return check(a, c, 2); }
