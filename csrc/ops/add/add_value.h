/* The arithmetic of one element, for operands of any width. */
#ifndef KG_OPS_ADD_VALUE_H
#define KG_OPS_ADD_VALUE_H

#include "add.h"

static inline int32_t kg_add_value(const kg_add_args *a, int32_t x1, int32_t x2) {
  const int32_t v1 = kg_requantize(kg_shl_s32(x1 - a->of.x1_zero, a->left_shift), a->x1_multiplier, a->x1_shift);
  const int32_t v2 = kg_requantize(kg_shl_s32(x2 - a->of.x2_zero, a->left_shift), a->x2_multiplier, a->x2_shift);
  uint32_t both = (uint32_t)v1 + (uint32_t)v2; /* unsigned: what a hostile multiplier overflows wraps */
  if (a->combine != KG_ADD_SUM) both = (uint32_t)v1 - (uint32_t)v2;
  if (a->combine == KG_ADD_SQUARED_DIFFERENCE) both *= both;
  return kg_requantize((int32_t)both, a->y_multiplier, a->y_shift);
}

#endif
