#include "mul.h"

int32_t kg_mul_check(const kg_mul_args *a, kg_check *c) {
  const kg_broadcast *s = &a->shape;
  int64_t n = kg_check_broadcast(c, s);
  if (!c->ok) return 0;
  kg_check_range(c, a->x1_zero, -128, 127);
  kg_check_range(c, a->x2_zero, -128, 127);
  kg_check_range(c, a->y_zero, -128, 127);
  kg_check_range(c, a->y_min, -128, a->y_max);
  kg_check_range(c, a->y_max, a->y_min, 127);
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 14); /* |product| <= 2^16 */
  kg_check_read(c, a->x1, kg_broadcast_span(c, s, s->a_0, s->a_1, s->a_2, s->a_3), 1);
  kg_check_read(c, a->x2, kg_broadcast_span(c, s, s->b_0, s->b_1, s->b_2, s->b_3), 1);
  const int32_t whole_1 = kg_broadcast_is_whole(s, s->a_0, s->a_1, s->a_2, s->a_3);
  const int32_t whole_2 = kg_broadcast_is_whole(s, s->b_0, s->b_1, s->b_2, s->b_3);
  const int32_t shares_1 = a->y == a->x1, shares_2 = a->y == a->x2;
  const int32_t allowed = (shares_1 || shares_2) && (whole_1 || !shares_1) && (whole_2 || !shares_2);
  kg_check_write(c, a->y, n, 1, allowed ? a->y : KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (n + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_mul_grad_check(const kg_mul_grad_args *a, kg_check *c) {
  const kg_broadcast *s = &a->shape;
  int64_t n = kg_check_broadcast(c, s);
  if (!c->ok) return 0;
  kg_check_range(c, a->other_zero, -128, 127);
  kg_check_range(c, a->fold, 0, 1 << 14); /* |product| <= 128 * 255 * 2^14 < 2^31 */
  kg_check_range(c, a->fold_exponent, -100, 100);
  kg_check_range(c, kg_broadcast_is_whole(s, s->a_0, s->a_1, s->a_2, s->a_3), 1, 1);
  kg_check_read(c, a->gy, n, 1);
  kg_check_read(c, a->gy_exponent, (int64_t)sizeof(kg_exponent), 4);
  kg_check_read(c, a->other, kg_broadcast_span(c, s, s->b_0, s->b_1, s->b_2, s->b_3), 1);
  kg_check_error_out(c, &a->gx, n, a->gy);
  return kg_check_end(c);
}
