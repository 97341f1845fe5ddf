#include "mean.h"

typedef struct kg_mean_sizes {
  int64_t inputs, outputs;
} kg_mean_sizes;

static kg_mean_sizes check_shape(const kg_mean_shape *s, kg_check *c) {
  const int32_t dim[4] = {s->d0, s->d1, s->d2, s->d3};
  const int32_t over[4] = {s->over0, s->over1, s->over2, s->over3};
  kg_mean_sizes n = {1, 1};
  for (int32_t i = 0; i < 4; ++i) {
    kg_check_range(c, dim[i], 1, 1 << 24);
    kg_check_range(c, over[i], 0, 1);
    n.inputs = kg_check_mul(c, n.inputs, dim[i]);
    if (!over[i]) n.outputs = kg_check_mul(c, n.outputs, dim[i]);
  }
  if (c->ok) kg_check_range(c, n.inputs / n.outputs, 1, 1 << 23); /* the sum of 2^23 differences of 255 fits an int32 */
  return n;
}

int32_t kg_mean_check(const kg_mean_args *a, kg_check *c) {
  const kg_mean_sizes n = check_shape(&a->shape, c);
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
  const kg_mean_sizes n = check_shape(&a->shape, c);
  kg_check_range(c, a->reciprocal, 1 << 14, 1 << 15);
  kg_check_range(c, a->reciprocal_shift, 14, 38);
  kg_check_error_in(c, a->gy, a->gy_exponent, n.outputs);
  kg_check_error_out(c, &a->gx, n.inputs, KG_REF_NONE);
  return kg_check_end(c);
}
