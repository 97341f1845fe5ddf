#include "mul.h"

static void check_scaling(kg_check *c, const kg_mul_args *a) {
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
}

int32_t kg_mul_s8_check(const kg_mul_args *a, kg_check *c) {
  check_scaling(c, a);
  kg_check_binary(c, &a->of, 1);
  return kg_check_end(c);
}

int32_t kg_mul_s16_check(const kg_mul_args *a, kg_check *c) {
  check_scaling(c, a);
  kg_check_binary(c, &a->of, 2);
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
  kg_check_broadcast_b(c, s, a->other, 1);
  kg_check_error_out(c, &a->gx, n, a->gy);
  return kg_check_end(c);
}
