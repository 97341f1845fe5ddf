#include "log_softmax.h"

#include "../../common/fixed_point.h"

static int32_t leading_zeros(int32_t v) {
  int32_t n = 0;
  while (n < 31 && (((uint32_t)v << n) & 0x80000000u) == 0) ++n;
  return n;
}

/* (a + b) / 2 rounded away from zero. */
static int32_t half_sum(int32_t a, int32_t b) {
  const int64_t sum = (int64_t)a + b;
  return (int32_t)((sum + (sum >= 0 ? 1 : -1)) / 2);
}

/* log(v) as Q5.26 for v >= 1 in Q12.19: TensorFlow Lite's log_x_for_x_greater_than_or_equal_to_1_impl<5, 12>. The power of two is split off
 * in two ways, r = v * 2^-k with r in [sqrt(1/2), 1) by the better of both; log(r) is a rational function around the fourth root of 1/2. */
static int32_t logarithm(int32_t v) {
  const int32_t log_2 = 1488522236, sqrt_half = 1518500250, sqrt_sqrt_half = 1805811301, quarter = 1 << 23;
  const int32_t zeros = leading_zeros(v);
  const int32_t ra = kg_saturating_shl(kg_doubling_high_mul(kg_saturating_shl(v, zeros - 1), sqrt_half), 1);
  const int32_t ka = kg_sat_s32((int64_t)kg_saturating_shl(12 - zeros, 25) + quarter); /* powers of two are Q6.25 */
  const int32_t headroom = leading_zeros(kg_doubling_high_mul(v, sqrt_half)) - 1;
  const int32_t rb = kg_saturating_shl(v, headroom);
  const int32_t kb = kg_sat_s32((int64_t)kg_saturating_shl(12 - headroom, 25) - quarter);
  const int32_t r = ra < rb ? ra : rb, k = ka > kb ? ka : kb;
  const int32_t p = half_sum(r, sqrt_sqrt_half);
  const int32_t q = kg_shl_s32(kg_sub_wrap(r, sqrt_sqrt_half), 1);
  const int32_t square = kg_doubling_high_mul(q, q);
  const int32_t above = kg_add_wrap(kg_doubling_high_mul(q, r), kg_doubling_high_mul(kg_doubling_high_mul(q, square), 117049297));
  const int32_t inner = kg_add_wrap(kg_add_wrap(1057819769, q), kg_doubling_high_mul(127690142, square));
  const int32_t below = kg_add_wrap(kg_doubling_high_mul(p, inner), kg_doubling_high_mul(638450708, q));
  const int32_t log_r = kg_doubling_high_mul(kg_rounding_shr(above, 6), kg_one_over_one_plus(below));
  return kg_saturating_shl(kg_add_wrap(kg_doubling_high_mul(k, log_2), log_r), 1);
}

void kg_log_softmax_ref_s8(const kg_log_softmax_args *a, const kg_memory *mem) {
  const int32_t *table = (const int32_t *)kg_in(mem, a->table);
  for (int32_t row = 0; row < a->rows; ++row) {
    const int8_t *x = (const int8_t *)kg_in(mem, a->x) + row * a->depth;
    int8_t *y = (int8_t *)kg_out(mem, a->y) + row * a->depth;
    int32_t max = -128, sum = 0;
    for (int32_t c = 0; c < a->depth; ++c) max = x[c] > max ? x[c] : max;
    for (int32_t c = 0; c < a->depth; ++c) sum += kg_rounding_shr(table[max - x[c]], 12);
    if (sum < 1 << 19) sum = 1 << 19; /* the largest value alone gives as much: a table that is none must do no harm */
    const int32_t log_sum = logarithm(sum);
    const int32_t reach = kg_requantize(kg_add_wrap(log_sum, INT32_MIN), a->reverse_multiplier, a->reverse_shift);
    const int32_t least = reach > a->least - 1 ? reach : a->least - 1;
    for (int32_t c = 0; c < a->depth; ++c) {
      const int32_t d = x[c] - max;
      const int32_t v = kg_rounding_shr(kg_sub_wrap(kg_requantize(d, a->multiplier, a->shift), log_sum), 22);
      y[c] = (int8_t)(d > least ? kg_clamp_s32(v + 127, -128, 127) : -128);
    }
  }
}
