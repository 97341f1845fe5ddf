#include "arg_max.h"

int32_t kg_arg_max_check(const kg_arg_max_args *a, kg_check *c) {
  kg_check_range(c, a->outer, 1, 1 << 24);
  kg_check_range(c, a->axis, 1, 1 << 24);
  kg_check_range(c, a->inner, 1, 1 << 24);
  kg_check_range(c, a->minimum, 0, 1);
  kg_check_range(c, a->wide, 0, 1);
  kg_check_read(c, a->x, kg_check_mul3(c, a->outer, a->axis, a->inner), 1);
  kg_check_write(c, a->y, kg_check_mul3(c, a->outer, a->inner, a->wide ? 8 : 4), 4, KG_REF_NONE);
  return kg_check_end(c);
}
