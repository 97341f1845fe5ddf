#include "squared_difference.h"

int32_t kg_squared_difference_grad_check(const kg_squared_difference_grad_args *a, kg_check *c) {
  const int64_t n = kg_check_broadcast(c, &a->shape);
  if (!c->ok) return 0;
  kg_check_s8(c, a->x1_zero);
  kg_check_s8(c, a->x2_zero);
  kg_check_range(c, a->x1_fold, -(1 << 14), 1 << 14); /* |product| <= 128 * 2 * 255 * 2^14 < 2^31 */
  kg_check_range(c, a->x2_fold, -(1 << 14), 1 << 14);
  kg_check_range(c, a->fold_exponent, -100, 100);
  kg_check_error_in(c, a->gy, a->gy_exponent, n);
  kg_check_broadcast_a(c, &a->shape, a->x1, 1);
  kg_check_broadcast_b(c, &a->shape, a->x2, 1);
  kg_check_error_out(c, &a->gx, n, a->gy);
  return kg_check_end(c);
}
