#include "add.h"

static void check_scaling(kg_check *c, const kg_add_args *a) {
  kg_check_range(c, a->combine, KG_ADD_SUM, KG_ADD_SQUARED_DIFFERENCE);
  kg_check_range(c, a->left_shift, 0, 20);
  kg_check_range(c, a->x1_multiplier, 0, INT32_MAX);
  kg_check_range(c, a->x1_shift, -31, 0);
  kg_check_range(c, a->x2_multiplier, 0, INT32_MAX);
  kg_check_range(c, a->x2_shift, -31, 0);
  kg_check_range(c, a->y_multiplier, 0, INT32_MAX);
  kg_check_range(c, a->y_shift, -31, 30);
}

int32_t kg_add_s8_check(const kg_add_args *a, kg_check *c) {
  check_scaling(c, a);
  kg_check_binary(c, &a->of, 1);
  return kg_check_end(c);
}

int32_t kg_add_s16_check(const kg_add_args *a, kg_check *c) {
  check_scaling(c, a);
  kg_check_binary(c, &a->of, 2);
  return kg_check_end(c);
}
