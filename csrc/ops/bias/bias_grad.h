/* What the two kernels of bias_grad share. */
#ifndef KG_OPS_BIAS_GRAD_H
#define KG_OPS_BIAS_GRAD_H

#include "bias.h"

/* Channels that are summed at a time: the sums stay in registers or on the stack. */
enum { KG_BIAS_BLOCK = 16 };

/* acc[j] = sum over pixels of gy[pixel][c + j] for n channels, n <= KG_BIAS_BLOCK. */
static inline void kg_bias_sum(const int8_t *gy, int32_t pixels, int32_t channels, int32_t c, int32_t n, int32_t *acc) {
  for (int32_t j = 0; j < KG_BIAS_BLOCK; ++j) acc[j] = 0;
  for (int32_t p = 0; p < pixels; ++p) {
    const int8_t *g = gy + p * channels + c;
    if (n == KG_BIAS_BLOCK)
      for (int32_t j = 0; j < KG_BIAS_BLOCK; ++j) acc[j] += g[j];
    else
      for (int32_t j = 0; j < n; ++j) acc[j] += g[j];
  }
}

/* Bias `value` of channel `c` after `step`. */
static inline int32_t kg_bias_step(const kg_bias_grad_args *a, uint32_t start, int32_t c, int32_t value, int64_t step) {
  int64_t v = kg_update_round(value, step, KG_BIAS_FRACTION, a->update.rounding, kg_random_at(start, (uint32_t)c));
  return (int32_t)(v > a->limit ? a->limit : v < -a->limit ? -a->limit : v);
}

/* Where steps go: the biases are `wide` or `narrow`, the other one is NULL. */
typedef struct kg_bias_target {
  int32_t *wide;
  int16_t *narrow;
  int32_t *pending;
  int32_t e;      /* exponent of the error */
  uint32_t start; /* of the random sequence */
} kg_bias_target;

static inline kg_bias_target kg_bias_begin(const kg_bias_grad_args *a, const kg_memory *mem, int32_t *wide, int16_t *narrow) {
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, a->update.train);
  const kg_bias_target t = {wide, narrow, (int32_t *)kg_out(mem, a->update.pending), kg_error_exponent(mem, a->gy_exponent),
                            kg_random_start(train->seed, train->step, a->update.tensor)};
  return t;
}

/* Steps of n channels from c on, with the gradients acc. */
static inline void kg_bias_apply(const kg_bias_grad_args *a, const kg_memory *mem, const kg_bias_target *t, int32_t c, int32_t n,
                                 const int32_t *acc) {
  for (int32_t i = c; i < c + n; ++i) {
    const kg_rate rate = kg_update_rate(mem, &a->update, i, t->e);
    if (rate.mantissa == 0) continue;
    const int64_t step = kg_update_step(acc[i - c], rate, KG_BIAS_FRACTION);
    if (t->pending)
      kg_update_defer(t->pending, i, step);
    else if (t->wide)
      t->wide[i] = kg_bias_step(a, t->start, i, t->wide[i], step);
    else
      t->narrow[i] = (int16_t)kg_bias_step(a, t->start, i, t->narrow[i], step);
  }
}

/* Gradients of all channels and their steps. */
static inline void kg_bias_grad(const kg_bias_grad_args *a, const kg_memory *mem, int32_t *wide, int16_t *narrow) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const kg_bias_target target = kg_bias_begin(a, mem, wide, narrow);
  for (int32_t c = 0; c < a->channels; c += KG_BIAS_BLOCK) {
    const int32_t n = a->channels - c < KG_BIAS_BLOCK ? a->channels - c : KG_BIAS_BLOCK;
    int32_t acc[KG_BIAS_BLOCK];
    kg_bias_sum(gy, a->pixels, a->channels, c, n, acc);
    kg_bias_apply(a, mem, &target, c, n, acc);
  }
}

#endif
