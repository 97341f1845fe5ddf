#include "softmax.h"

/* a * 2^shift, saturated to int32. */
static int32_t saturating_shl(int32_t a, int32_t shift) { return kg_sat_s32((int64_t)a * ((int64_t)1 << shift)); }

/* 1 / (1 + a) for a in [0, 1), both Q0.31: Newton's iteration on half the denominator, in Q2.29
 * (gemmlowp one_over_one_plus_x_for_x_in_0_1). */
static int32_t one_over_one_plus(int32_t a) {
  const int32_t half_denominator = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
  int32_t x = 1515870810 + kg_doubling_high_mul(half_denominator, -1010580540); /* 48/17 - 32/17 d */
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t rest = ((int32_t)1 << 29) - kg_doubling_high_mul(half_denominator, x);
    x += saturating_shl(kg_doubling_high_mul(x, rest), 2);
  }
  return saturating_shl(x, 1);
}

/* Softmax of one row. */
static void softmax_row(const int8_t *x, int8_t *y, const int32_t *table, int32_t depth) {
  int32_t max = -128, sum = 0;
  for (int32_t c = 0; c < depth; ++c) max = x[c] > max ? x[c] : max;
  for (int32_t c = 0; c < depth; ++c) sum += kg_rounding_shr(table[max - x[c]], 12);
  if (sum < 1) sum = 1; /* a table that is none must do no harm */
  int32_t zeros = 0;    /* leading zeros of the sum, at least 1 */
  while (((uint32_t)sum << zeros) < 0x80000000u) ++zeros;
  const int32_t scale = one_over_one_plus((int32_t)(((uint32_t)sum << zeros) - 0x80000000u));
  const int32_t shift = 12 - zeros + 31 - 8;
  for (int32_t c = 0; c < depth; ++c) {
    int32_t p = kg_doubling_high_mul(scale, table[max - x[c]]);
    p = shift > 31 ? 0 : kg_rounding_shr(p, shift > 0 ? shift : 0);
    y[c] = (int8_t)kg_clamp_s32(p - 128, -128, 127);
  }
}

void kg_softmax_ref_s8(const kg_softmax_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int32_t *table = (const int32_t *)kg_in(mem, a->table);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  for (int32_t r = 0; r < a->rows; ++r) softmax_row(x + r * a->depth, y + r * a->depth, table, a->depth);
}
