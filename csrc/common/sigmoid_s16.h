/* Sigmoid and tanh of int16 fixed-point numbers, as TensorFlow Lite's integer LSTM computes them: exp by a polynomial and a product of
 * constants, the quotient by Newton's method, everything in 16 bits (github.com/google/gemmlowp, fixedpoint.h). The NumPy twin is
 * python/kilograd/ops/sigmoid16.py. A number with k integer bits has 15 - k fraction bits. */
#ifndef KG_COMMON_SIGMOID_S16_H
#define KG_COMMON_SIGMOID_S16_H

#include "fixed_point.h"

/* The low 16 bits. */
static inline int32_t kg_wrap_s16(int32_t v) { return (int32_t)(int16_t)(uint16_t)((uint32_t)v & 0xFFFFu); }

static inline int32_t kg_sat_s16(int32_t v) { return kg_clamp_s32(v, INT16_MIN, INT16_MAX); }

/* High 16 bits of 2ab, rounded to nearest. */
static inline int32_t kg_doubling_high_mul_s16(int32_t a, int32_t b) {
  if (a == INT16_MIN && b == INT16_MIN) return INT16_MAX;
  const int32_t ab = a * b;
  return (ab + (ab >= 0 ? 1 << 14 : 1 - (1 << 14))) / (1 << 15);
}

/* a * 2^shift, saturated. */
static inline int32_t kg_sat_shl_s16(int32_t a, int32_t shift) {
  const int32_t limit = (1 << (15 - shift)) - 1;
  return a > limit ? INT16_MAX : a < -limit ? INT16_MIN : a * (1 << shift);
}

/* exp(a) for a in [-1/4, 0), no integer bits: the Taylor polynomial around -1/8. */
static inline int32_t kg_exp_quarter_s16(int32_t a) {
  const int32_t exp_eighth = 28918, third = 10923;
  const int32_t x = a + (1 << 12);
  const int32_t x2 = kg_doubling_high_mul_s16(x, x), x3 = kg_doubling_high_mul_s16(x2, x), x4 = kg_doubling_high_mul_s16(x2, x2);
  const int32_t tail = kg_doubling_high_mul_s16(kg_wrap_s16(kg_rounding_shr(x4, 2) + x3), third);
  const int32_t sum = kg_rounding_shr(kg_wrap_s16(tail + x2), 1);
  return kg_sat_s16(exp_eighth + kg_doubling_high_mul_s16(exp_eighth, kg_wrap_s16(x + sum)));
}

/* exp(a) for a <= 0 with k integer bits, k in 0..7; no integer bits in the result. */
static inline int32_t kg_exp_negative_s16(int32_t a, int32_t k) {
  static const int16_t factor[7] = {25520, 19875, 12055, 4435, 600, 11, 0}; /* exp(-2^i), i from -2 to 4 */
  const int32_t quarter = 1 << (13 - k);
  const int32_t part = (a & (quarter - 1)) - quarter; /* in [-1/4, 0) */
  const int32_t rest = part - a;
  int32_t y = kg_exp_quarter_s16(kg_sat_shl_s16(part, k));
  for (int32_t i = -2; i < k && i <= 4; ++i)
    if (rest & (1 << (15 - k + i))) y = kg_doubling_high_mul_s16(y, factor[i + 2]);
  if (k > 5 && a < -(1 << (20 - k))) y = 0;
  return a == 0 ? INT16_MAX : y;
}

/* 1 / ((1 + a) / 2) for a in (0, 1), two integer bits. */
static inline int32_t kg_reciprocal_s16(int32_t a) {
  const int32_t half = (a + INT16_MAX + 1) / 2, one = 1 << 13;
  int32_t x = kg_wrap_s16(23130 + kg_doubling_high_mul_s16(half, -15420)); /* 48/17 - 32/17 half */
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t miss = kg_wrap_s16(one - kg_doubling_high_mul_s16(half, x));
    x = kg_wrap_s16(x + kg_sat_shl_s16(kg_doubling_high_mul_s16(x, miss), 2));
  }
  return x;
}

/* 1 / (1 + exp(-a)), a with 3 integer bits; no integer bits in the result. */
static inline int32_t kg_sigmoid_s16(int32_t a) {
  if (a == 0) return 1 << 14;
  const int32_t y = kg_sat_shl_s16(kg_reciprocal_s16(kg_exp_negative_s16(a > 0 ? -a : a, 3)), 1);
  return a > 0 ? y : INT16_MAX - y;
}

/* tanh(a), a with k integer bits, k in 0..6; no integer bits in the result. */
static inline int32_t kg_tanh_s16(int32_t a, int32_t k) {
  if (a == 0) return 0;
  const int32_t x = kg_reciprocal_s16(kg_exp_negative_s16(a > 0 ? -a : a, k + 1));
  const int32_t y = kg_sat_shl_s16(kg_wrap_s16(x - (1 << 13)), 2);
  return a > 0 ? y : kg_wrap_s16(-y);
}

#endif
