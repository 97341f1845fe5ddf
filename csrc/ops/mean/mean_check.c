#include "mean.h"

int32_t kg_mean_check(const kg_mean_args *a, kg_check *c) {
  const kg_reduce_sizes n = kg_check_reduce(c, &a->shape);
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_read(c, a->x, n.inputs, 1);
  kg_check_write(c, a->y, n.outputs, 1, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (n.outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_mean_grad_check(const kg_mean_grad_args *a, kg_check *c) {
  const kg_reduce_sizes n = kg_check_reduce(c, &a->shape);
  kg_check_range(c, a->reciprocal, 1 << 14, 1 << 15);
  kg_check_range(c, a->reciprocal_shift, 14, 38);
  kg_check_error_in(c, a->gy, a->gy_exponent, n.outputs);
  kg_check_error_out(c, &a->gx, n.inputs, KG_REF_NONE);
  return kg_check_end(c);
}
