/* The optimizer step, fused into the kernels that compute weight and bias gradients.
 *
 * Gradients are with respect to real values, so plain SGD in real units, w_real -= lr * G, is w -= lr * G / s_w in integers. The
 * compiler puts every constant of that factor into one (mantissa, exponent) per output channel: for weights
 * s_x / s_w, for biases 1 / (s_x * s_w) (quantization-aware scaling, "On-Device Training Under 256KB Memory", section 3.1, in
 * real units). A mantissa of 0 freezes the channel. */
#ifndef KG_COMMON_UPDATE_H
#define KG_COMMON_UPDATE_H

#include "fixed_point.h"
#include "random.h"
#include "train_state.h"

enum {
  KG_ROUND_STOCHASTIC = 0,
  KG_ROUND_NEAREST = 1,
  KG_WEIGHT_FRACTION = 16, /* fraction bits of a weight's step */
  KG_BIAS_FRACTION = 8     /* fraction bits of a bias's step */
};

typedef struct kg_update {
  kg_ref train;     /* kg_train_state */
  kg_ref mantissa;  /* int32 [channels], in [2^30, 2^31) or 0: factor = mantissa * 2^exponent */
  kg_ref exponent;  /* int8 [channels] */
  kg_ref fraction;  /* int8, 8 more bits of each weight (storage w8f8), or none */
  kg_ref pending;   /* int32, steps summed up until they are applied (gradient accumulation), or none */
  uint32_t tensor;  /* key of the random stream: CRC-32 of the updated tensor's name */
  int32_t rounding; /* KG_ROUND_* */
} kg_update;

/* mantissa * 2^exponent */
typedef struct kg_rate {
  int32_t mantissa;
  int32_t exponent;
} kg_rate;

/* Learning rate times factor of `channel` times 2^error_exponent. */
static inline kg_rate kg_update_rate(const kg_memory *mem, const kg_update *u, int32_t channel, int32_t error_exponent) {
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, u->train);
  int32_t mantissa = ((const int32_t *)kg_in(mem, u->mantissa))[channel];
  int32_t exponent = ((const int8_t *)kg_in(mem, u->exponent))[channel];
  kg_rate rate;
  rate.mantissa = (int32_t)(((int64_t)mantissa * (train->lr_mantissa & 0x7FFF)) >> 15);
  rate.exponent = exponent + kg_clamp_s32(train->lr_exponent, -64, 64) + error_exponent + 15;
  return rate;
}

/* gradient * rate with `fraction` fraction bits, rounded half up, saturated to 48 bits. */
static inline int64_t kg_update_step(int32_t gradient, kg_rate rate, int32_t fraction) {
  const int64_t limit = (int64_t)1 << 47;
  int64_t d = kg_scale_pow2_s64((int64_t)gradient * rate.mantissa, rate.exponent + fraction);
  return d > limit ? limit : d < -limit ? -limit : d;
}

/* value - step rounded to an integer; `step` has `fraction` bits of fraction (at most 16). */
static inline int64_t kg_update_round(int64_t value, int64_t step, int32_t fraction, int32_t rounding, uint32_t random) {
  int64_t t = value * ((int64_t)1 << fraction) - step;
  int64_t r = rounding == KG_ROUND_NEAREST ? (int64_t)1 << (fraction - 1) : (int64_t)(random >> (16 - fraction));
  return (t + r) >> fraction;
}

/* Apply `step` (KG_WEIGHT_FRACTION bits) to an int8 weight, element `index` of its tensor, range [lo, hi]. */
static inline void kg_update_weight(int8_t *w, int8_t *f, int32_t index, int64_t step, int32_t rounding, uint32_t random_start,
                                    int32_t lo, int32_t hi) {
  if (f) { /* w8f8: the pair (w, f) is one 16-bit number w * 256 + f, always rounded to nearest */
    int64_t full = (int64_t)w[index] * 256 + f[index];
    full = kg_update_round(full, step, KG_WEIGHT_FRACTION - 8, KG_ROUND_NEAREST, 0);
    int64_t q = (full + 128) >> 8;
    q = q > hi ? hi : q < lo ? lo : q;
    int64_t rest = full - q * 256;
    w[index] = (int8_t)q;
    f[index] = (int8_t)(rest > 127 ? 127 : rest < -128 ? -128 : rest);
  } else {
    int64_t q = kg_update_round(w[index], step, KG_WEIGHT_FRACTION, rounding, kg_random_at(random_start, (uint32_t)index));
    w[index] = (int8_t)(q > hi ? hi : q < lo ? lo : q);
  }
}

/* Add `step` to a pending sum, saturating. */
static inline void kg_update_defer(int32_t *pending, int32_t index, int64_t step) {
  pending[index] = kg_sat_s32((int64_t)pending[index] + step);
}

/* Where the steps of one tensor go: into the weights, or into the pending sum. */
typedef struct kg_updater {
  int8_t *weights;
  int8_t *fraction;
  int32_t *pending;
  uint32_t start; /* of the random sequence */
  int32_t rounding;
  int32_t lo, hi;
} kg_updater;

static inline kg_updater kg_update_begin(const kg_memory *mem, const kg_update *u, int8_t *weights, int32_t lo, int32_t hi) {
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, u->train);
  kg_updater w = {weights,
                  (int8_t *)kg_out(mem, u->fraction),
                  (int32_t *)kg_out(mem, u->pending),
                  kg_random_start(train->seed, train->step, u->tensor),
                  u->rounding,
                  lo,
                  hi};
  return w;
}

/* Take a step of weight `index`; `step` has KG_WEIGHT_FRACTION bits. */
static inline void kg_update_put(const kg_updater *w, int32_t index, int64_t step) {
  if (w->pending)
    kg_update_defer(w->pending, index, step);
  else
    kg_update_weight(w->weights, w->fraction, index, step, w->rounding, w->start, w->lo, w->hi);
}

#endif
