#include "prelu.h"

static void check_period(kg_check *c, int32_t count, int32_t period) {
  kg_check_range(c, count, 1, 1 << 28);
  kg_check_range(c, period, 1, count);
  if (c->ok) kg_check_range(c, count % period, 0, 0);
}

int32_t kg_prelu_check(const kg_prelu_args *a, kg_check *c) {
  check_period(c, a->count, a->period);
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->alpha_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->alpha_multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  kg_check_range(c, a->alpha_shift, -31, 30);
  kg_check_read(c, a->x, a->count, 1);
  kg_check_read(c, a->alpha, a->period, 1);
  kg_check_write(c, a->y, a->count, 1, a->x);
  kg_check_write_opt(c, a->mask, ((int64_t)a->count + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_prelu_grad_check(const kg_prelu_grad_args *a, kg_check *c) {
  check_period(c, a->count, a->period);
  kg_check_s8(c, a->x_zero);
  kg_check_range(c, a->one, 0, 32767);
  kg_check_range(c, a->unit, -64, 64);
  kg_check_error_in(c, a->gy, a->gy_exponent, a->count);
  kg_check_read(c, a->x, a->count, 1);
  kg_check_read(c, a->slope, 2 * (int64_t)a->period, 2);
  kg_check_error_out(c, &a->gx, a->count, a->gy);
  return kg_check_end(c);
}
