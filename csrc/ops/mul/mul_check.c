#include "mul.h"

int32_t kg_mul_check(const kg_mul_args *a, kg_check *c) {
  int64_t n = kg_check_broadcast(c, &a->shape);
  if (!c->ok) return 0;
  kg_check_s8(c, a->x1_zero);
  kg_check_s8(c, a->x2_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  kg_check_elementwise(c, &a->shape, n, a->x1, a->x2, a->y, a->mask);
  return kg_check_end(c);
}

int32_t kg_mul_grad_check(const kg_mul_grad_args *a, kg_check *c) {
  const kg_broadcast *s = &a->shape;
  int64_t n = kg_check_broadcast(c, s);
  if (!c->ok) return 0;
  kg_check_s8(c, a->other_zero);
  kg_check_range(c, a->fold, 0, 1 << 14); /* |product| <= 128 * 255 * 2^14 < 2^31 */
  kg_check_range(c, a->fold_exponent, -100, 100);
  kg_check_range(c, kg_broadcast_a_is_whole(s), 1, 1);
  kg_check_error_in(c, a->gy, a->gy_exponent, n);
  kg_check_broadcast_b(c, s, a->other);
  kg_check_error_out(c, &a->gx, n, a->gy);
  return kg_check_end(c);
}
