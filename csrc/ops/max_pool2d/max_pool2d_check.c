#include "max_pool2d.h"

int32_t kg_max_pool2d_check(const kg_max_pool2d_args *a, kg_check *c) {
  kg_pool2d_check_shape(c, &a->shape);
  if (!c->ok) return 0;
  int64_t outputs = kg_pool2d_outputs(c, &a->shape);
  kg_check_clamp(c, a->y_min, a->y_max);
  kg_check_read(c, a->x, kg_pool2d_inputs(c, &a->shape), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  kg_check_write_opt(c, a->winner, outputs, 1);
  if (a->winner != KG_REF_NONE) kg_check_range(c, (int64_t)a->shape.k_h * a->shape.k_w, 1, 255);
  return kg_check_end(c);
}

int32_t kg_max_pool2d_s16_check(const kg_max_pool2d_args *a, kg_check *c) {
  kg_check_range(c, a->winner, KG_REF_NONE, KG_REF_NONE);
  return kg_pool2d_s16_check(c, &a->shape, a->x, a->y, a->mask, a->y_min, a->y_max);
}

int32_t kg_max_pool2d_grad_check(const kg_max_pool2d_grad_args *a, kg_check *c) {
  kg_pool2d_check_shape(c, &a->shape);
  if (!c->ok) return 0;
  int64_t outputs = kg_pool2d_outputs(c, &a->shape);
  kg_check_range(c, (int64_t)a->shape.k_h * a->shape.k_w, 1, 255); /* so at most 255 windows overlap */
  kg_check_error_in(c, a->gy, a->gy_exponent, outputs);
  kg_check_read(c, a->winner, outputs, 1);
  kg_check_error_out(c, &a->gx, kg_pool2d_inputs(c, &a->shape), KG_REF_NONE);
  return kg_check_end(c);
}
