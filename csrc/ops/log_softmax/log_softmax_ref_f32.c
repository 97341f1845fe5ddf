#include <string.h>

#include "log_softmax.h"

#define ONE ((int64_t)1 << 30)
#define LN2 744261118          /* Q30 */
#define INVERSE_LN2 1549082005 /* Q30 */

/* -v as Q30 for a float32 v <= 0 given as bits; 32 or more, and whatever is no such number, gives 32. */
static int64_t magnitude(uint32_t bits) {
  const int32_t exponent = (int32_t)((bits >> 23) & 255u) - 127;
  const int64_t mantissa = (int64_t)((bits & 0x7FFFFFu) | 0x800000u);
  if (exponent >= 5) return ONE * 32;
  if (exponent < -31) return 0;
  return exponent + 7 >= 0 ? mantissa << (exponent + 7) : mantissa >> -(exponent + 7);
}

/* exp(-t), both Q30, t in 0..32: a power of two and a Taylor series on [0, log 2). */
static int64_t exponential(int64_t t) {
  const int64_t n = ((t >> 4) * INVERSE_LN2) >> 56;
  int64_t r = t - n * LN2, v = ONE;
  if (r < 0) r = 0;
  for (int32_t k = 11; k >= 1; --k) v = ONE - ((r * v) >> 30) / k;
  return (v + (((int64_t)1 << n) >> 1)) >> n;
}

/* log(s), both Q30, s >= 1: the power of two, and 2 artanh((m - 1) / (m + 1)) for the rest m in [1, 2). */
static int64_t logarithm(int64_t s) {
  int32_t k = 0;
  while ((s >> k) >= 2 * ONE) ++k;
  const int64_t m = s >> k;
  const int64_t z = ((m - ONE) * ONE) / (m + ONE), square = (z * z) >> 30;
  int64_t series = ONE / 21;
  for (int32_t i = 19; i >= 1; i -= 2) series = ONE / i + ((square * series) >> 30);
  return k * (int64_t)LN2 + ((z * series) >> 29);
}

/* Rounded to single: what is kept wide in a register (x87) is stored and read again. */
static float single(float v) {
  volatile float stored = v;
  return stored;
}

void kg_log_softmax_ref_f32(const kg_log_softmax_f32_args *a, const kg_memory *mem) {
  for (int32_t row = 0; row < a->rows; ++row) {
    const float *x = (const float *)kg_in(mem, a->x) + (size_t)row * (size_t)a->depth;
    float *y = (float *)kg_out(mem, a->y) + (size_t)row * (size_t)a->depth;
    float max = x[0];
    for (int32_t c = 1; c < a->depth; ++c) max = x[c] > max ? x[c] : max;
    int64_t sum = 0;
    for (int32_t c = 0; c < a->depth; ++c) {
      uint32_t bits;
      y[c] = single(x[c] - max);
      memcpy(&bits, &y[c], sizeof bits);
      sum += exponential(magnitude(bits));
    }
    const float log_sum = single((float)logarithm(sum < ONE ? ONE : sum)) * 9.313225746154785e-10f; /* 2^-30: exact */
    for (int32_t c = 0; c < a->depth; ++c) y[c] = single(y[c] - log_sum);
  }
}
