/* What the two kernels of bias_grad share. */
#ifndef KG_OPS_BIAS_GRAD_H
#define KG_OPS_BIAS_GRAD_H

#include "bias.h"

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

#endif
