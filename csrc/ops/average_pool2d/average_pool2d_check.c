#include "average_pool2d.h"

int32_t kg_average_pool2d_check(const kg_average_pool2d_args *a, kg_check *c) {
  kg_pool2d_check_shape(c, &a->shape);
  if (!c->ok) return 0;
  int64_t outputs = kg_pool2d_outputs(c, &a->shape);
  kg_check_range(c, a->half_up, 0, 1);
  kg_check_clamp(c, a->y_min, a->y_max);
  kg_check_read(c, a->x, kg_pool2d_inputs(c, &a->shape), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_average_pool2d_s16_check(const kg_average_pool2d_args *a, kg_check *c) {
  kg_check_range(c, (int64_t)a->shape.k_h * a->shape.k_w, 1, 65535); /* |sum| + half <= 65535 * 2^15 + 32767 < 2^31 */
  kg_check_range(c, a->half_up, 0, 0);
  return kg_pool2d_s16_check(c, &a->shape, a->x, a->y, a->mask, a->y_min, a->y_max);
}

int32_t kg_average_pool2d_grad_check(const kg_average_pool2d_grad_args *a, kg_check *c) {
  const kg_pool2d_shape *s = &a->shape;
  kg_pool2d_check_shape(c, s);
  kg_check_range(c, a->shift, 1, 23);
  if (!c->ok) return 0;
  int64_t overlap = (int64_t)((s->k_h - 1) / s->stride_h + 1) * ((s->k_w - 1) / s->stride_w + 1);
  kg_check_range(c, overlap * ((int64_t)128 << a->shift), 0, INT32_MAX);
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_pool2d_outputs(c, s));
  kg_check_write(c, a->scratch, 4 * (int64_t)s->channels, 4, KG_REF_NONE);
  kg_check_error_out(c, &a->gx, kg_pool2d_inputs(c, s), KG_REF_NONE);
  return kg_check_end(c);
}
