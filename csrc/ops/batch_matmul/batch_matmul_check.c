#include "batch_matmul.h"

#include <string.h>

/* Products in one sum. */
static int64_t terms(kg_check *c, const kg_batch_matmul_shape *s) { return kg_check_mul3(c, s->sum_0, s->sum_1, s->inner); }

/* An operand with distances `d` along the indices of the result and of the sums is read. */
static void check_operand(kg_check *c, const int32_t *size, kg_ref ref, const int32_t *d) {
  int64_t last = 0;
  for (int32_t i = 0; i < 7; ++i) last += kg_check_mul(c, size[i] - 1, d[i]);
  kg_check_read(c, ref, last + 1, 1);
}

/* Elements of the result; both operands are read. */
static int64_t check_shape(kg_check *c, const kg_batch_matmul_shape *s, kg_ref a, kg_ref b) {
  int32_t word[21];
  memcpy(word, s, sizeof word);
  for (int32_t i = 0; i < 7; ++i) kg_check_range(c, word[i], 1, 1 << 24);
  for (int32_t i = 7; i < 21; ++i) kg_check_range(c, word[i], 0, 1 << 24);
  if (!c->ok) return 0;
  kg_check_range(c, terms(c, s), 1, 1 << 15); /* 2^15 products of 255 * 255 fit an int32 */
  check_operand(c, word, a, word + 7);
  check_operand(c, word, b, word + 14);
  return kg_check_mul(c, kg_check_mul(c, s->batch_0, s->batch_1), kg_check_mul(c, s->rows, s->columns));
}

int32_t kg_batch_matmul_check(const kg_batch_matmul_args *a, kg_check *c) {
  const int64_t n = check_shape(c, &a->shape, a->a, a->b);
  kg_check_s8(c, a->a_zero);
  kg_check_s8(c, a->b_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  kg_check_write(c, a->y, n, 1, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (n + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_batch_matmul_grad_check(const kg_batch_matmul_grad_args *a, kg_check *c) {
  const int64_t n = check_shape(c, &a->shape, a->gy, a->b);
  kg_check_s8(c, a->b_zero);
  kg_check_range(c, a->fold, 0, 1 << 14);
  kg_check_range(c, a->fold_exponent, -100, 100);
  kg_check_range(c, a->fold_shift, 0, 30);
  if (c->ok) kg_check_range(c, (terms(c, &a->shape) * (128 * 255) * a->fold) >> a->fold_shift, 0, INT32_MAX - 1);
  kg_check_read(c, a->gy_exponent, (int64_t)sizeof(kg_exponent), 4);
  kg_check_error_out(c, &a->gx, n, KG_REF_NONE);
  return kg_check_end(c);
}
