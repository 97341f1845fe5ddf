#include "reduce_max.h"

static int32_t check(const kg_reduce_max_args *a, kg_check *c, uint32_t width) {
  const kg_reduce_sizes n = kg_check_reduce(c, &a->shape);
  kg_check_range(c, a->minimum, 0, 1);
  kg_check_read(c, a->x, kg_check_mul(c, n.inputs, width), width);
  kg_check_write(c, a->y, kg_check_mul(c, n.outputs, width), width, KG_REF_NONE);
  kg_check_write_opt(c, a->winner, (n.inputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_reduce_max_s8_check(const kg_reduce_max_args *a, kg_check *c) { return check(a, c, 1); }

int32_t kg_reduce_max_s16_check(const kg_reduce_max_args *a, kg_check *c) { return check(a, c, 2); }
