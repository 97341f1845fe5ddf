#include "div.h"

int32_t kg_div_check(const kg_div_args *a, kg_check *c) {
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  kg_check_binary(c, &a->of, 1);
  return kg_check_end(c);
}

int32_t kg_div_grad_check(const kg_div_grad_args *a, kg_check *c) {
  const int64_t n = kg_check_broadcast(c, &a->shape);
  if (!c->ok) return 0;
  kg_check_range(c, kg_broadcast_a_is_whole(&a->shape), 1, 1);
  kg_check_range(c, a->table_exponent, -100, 100);
  kg_check_error_in(c, a->gy, a->gy_exponent, n);
  kg_check_broadcast_b(c, &a->shape, a->other, 1);
  kg_check_read(c, a->table, 256 * 4, 4);
  kg_check_table_s32(c, a->table, 256, -(1 << 23), 1 << 23); /* |product| <= 2^7 * 2^23 */
  kg_check_error_out(c, &a->gx, n, a->gy);
  return kg_check_end(c);
}
