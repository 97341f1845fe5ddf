/* Fixed-point arithmetic: requantization, rounding shifts, saturation. Each is defined once, here; the NumPy
 * twin is python/kilograd/ops/fixed_point.py. Right shifts of negative values are arithmetic (asserted at compile time). */
#ifndef KG_COMMON_FIXED_POINT_H
#define KG_COMMON_FIXED_POINT_H

#include <stdint.h>

_Static_assert((-1 >> 1) == -1, "kilograd needs arithmetic right shifts");

static inline int32_t kg_clamp_s32(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

static inline int32_t kg_sat_s32(int64_t v) { return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v; }

/* a + b with wrap-around (a hostile bias must not be undefined behaviour). */
static inline int32_t kg_add_wrap(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

/* a - b with wrap-around. */
static inline int32_t kg_sub_wrap(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }

/* a * 2^shift saturated to int32, shift in 0..31 (gemmlowp SaturatingRoundingMultiplyByPOT). */
static inline int32_t kg_saturating_shl(int32_t a, int32_t shift) { return kg_sat_s32((int64_t)a * ((int64_t)1 << shift)); }

/* a * 2^shift with wrap-around, shift in 0..31 (left shifts of negative values are undefined in C). */
static inline int32_t kg_shl_s32(int32_t a, int32_t shift) { return (int32_t)((uint32_t)a << shift); }

/* High 32 bits of 2ab, rounded to nearest with halves up, saturated where both are INT32_MIN: gemmlowp's
 * SaturatingRoundingDoublingHighMul (github.com/google/gemmlowp, fixedpoint.h). */
static inline int32_t kg_doubling_high_mul(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  int64_t ab = (int64_t)a * b;
  int64_t nudge = ab >= 0 ? (1 << 30) : (1 - (1 << 30));
  return (int32_t)((ab + nudge) / ((int64_t)1 << 31));
}

/* 1 / (1 + a) for a in [0, 1), both Q0.31: Newton's iteration on half the denominator, in Q2.29
 * (gemmlowp one_over_one_plus_x_for_x_in_0_1). */
static inline int32_t kg_one_over_one_plus(int32_t a) {
  const int32_t half_denominator = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
  int32_t x = 1515870810 + kg_doubling_high_mul(half_denominator, -1010580540); /* 48/17 - 32/17 d */
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t rest = ((int32_t)1 << 29) - kg_doubling_high_mul(half_denominator, x);
    x += kg_saturating_shl(kg_doubling_high_mul(x, rest), 2);
  }
  return kg_saturating_shl(x, 1);
}

/* a / 2^shift rounded half away from zero, shift in 0..31 (gemmlowp RoundingDivideByPOT). */
static inline int32_t kg_rounding_shr(int32_t a, int32_t shift) {
  int32_t mask = (int32_t)(((uint32_t)1 << shift) - 1u);
  int32_t threshold = (mask >> 1) + (a < 0 ? 1 : 0);
  return (a >> shift) + ((a & mask) > threshold ? 1 : 0);
}

/* a * multiplier * 2^(shift-31), rounded twice: TensorFlow Lite's MultiplyByQuantizedMultiplier with gemmlowp
 * double rounding, which convolutions use. multiplier in 0..2^31-1 (from 2^30 on when it is not 0, for all 31 bits); shift in -31..30. */
static inline int32_t kg_requantize(int32_t a, int32_t multiplier, int32_t shift) {
  int32_t left = shift > 0 ? shift : 0;
  int32_t right = shift > 0 ? 0 : -shift;
  return kg_rounding_shr(kg_doubling_high_mul(kg_shl_s32(a, left), multiplier), right);
}

/* a * multiplier * 2^(shift-31), rounded once, half up: what fully connected layers use. Same ranges as kg_requantize. */
static inline int32_t kg_requantize_once(int32_t a, int32_t multiplier, int32_t shift) {
  const int32_t total = 31 - shift;
  return kg_sat_s32(((int64_t)a * multiplier + ((int64_t)1 << (total - 1))) >> total);
}

/* a * multiplier * 2^(shift-31) for 64-bit sums: the multiplier keeps 15 bits, rounded once, half up (TensorFlow Lite's form for int16
 * activations, which takes |a| < 2^47; what lies beyond is saturated to that). shift in -31..7; the result wraps. */
static inline int32_t kg_requantize_wide(int64_t a, int32_t multiplier, int32_t shift) {
  const int64_t limit = (int64_t)1 << 47;
  const int32_t reduced = multiplier < 0x7FFF0000 ? (multiplier + (1 << 15)) >> 16 : 0x7FFF;
  const int32_t total = 15 - shift;
  const int64_t v = a >= limit ? limit - 1 : a < -limit ? -limit : a;
  return (int32_t)(uint32_t)((v * reduced + ((int64_t)1 << (total - 1))) >> total);
}

/* a * multiplier * 2^(shift-31) for 64-bit sums with all 31 bits of the multiplier, rounded once, half up. |a| < 2^47, what lies beyond is
 * saturated to that; shift in -31..7; the result saturates. The product is taken in two parts, because it has up to 78 bits. */
static inline int32_t kg_requantize_wide_once(int64_t a, int32_t multiplier, int32_t shift) {
  const int64_t limit = (int64_t)1 << 47;
  const int32_t total = 31 - shift;
  const int64_t v = a >= limit ? limit - 1 : a < -limit ? -limit : a;
  const int64_t low = (v & 0xFFFF) * multiplier + ((int64_t)1 << (total - 1));
  return kg_sat_s32(((v >> 16) * multiplier + (low >> 16)) >> (total - 16));
}

/* v * 2^-shift rounded half up, shift in 0..62; more shifts everything out. */
static inline int64_t kg_round_shr_s64(int64_t v, int32_t shift) {
  if (shift <= 0) return v;
  if (shift > 62) return 0;
  return (v + ((int64_t)1 << (shift - 1))) >> shift;
}

/* v * 2^shift for any shift, saturated to +-2^62: left shifts saturate, right shifts round half up. */
static inline int64_t kg_scale_pow2_s64(int64_t v, int32_t shift) {
  const int64_t limit = (int64_t)1 << 62;
  if (shift <= 0) return kg_round_shr_s64(v, -shift);
  if (v == 0) return 0;
  if (shift > 62 || v > (limit >> shift) || v < -(limit >> shift)) return v > 0 ? limit : -limit;
  return v * ((int64_t)1 << shift);
}

#endif
