#include "../../common/dsp/linear2.h"
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

static void check_folded(kg_check *c, const kg_binary *of) {
  kg_check_binary(c, of, 1);
  kg_check_rows(c, &of->shape);
  kg_check_range(c, of->x1_zero, 0, 0);
  kg_check_range(c, of->x2_zero, 0, 0);
}

int32_t kg_add_linear_check(const kg_add_linear_args *a, kg_check *c) {
  const int64_t limit = (1 << 23) - 1, f1 = a->x1_factor, f2 = a->x2_factor, offset = a->offset;
  kg_check_range(c, f1, -limit, limit);
  kg_check_range(c, f2, -limit, limit);
  kg_check_range(c, 128 * ((f1 < 0 ? -f1 : f1) + (f2 < 0 ? -f2 : f2)) + (offset < 0 ? -offset : offset), 0, INT32_MAX);
  if (a->fraction != KG_LINEAR2_STEEP) kg_check_range(c, a->fraction, KG_LINEAR2_FINE, KG_LINEAR2_FINE);
  check_folded(c, &a->of);
  kg_check_range(c, a->of.y_zero, 0, 0);
  return kg_check_end(c);
}

int32_t kg_add_tables_check(const kg_add_tables_args *a, kg_check *c) {
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  check_folded(c, &a->of);
  kg_check_read(c, a->tables, 2 * 256 * (int64_t)sizeof(int32_t), 4);
  return kg_check_end(c);
}
