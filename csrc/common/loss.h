/* What the losses share: the error that starts the backward pass gets its exponent at once, because its peak
 * is known before it is written (no delayed exponent, no stochastic rounding). */
#ifndef KG_COMMON_LOSS_H
#define KG_COMMON_LOSS_H

#include "fixed_point.h"
#include "train_state.h"

/* Smallest right shift with which `peak`, rounded to nearest, becomes at most 127. */
static inline int32_t kg_loss_shift(int32_t peak) {
  int32_t shift = 0;
  while (kg_round_shr_s64(peak, shift) > 127) ++shift;
  return shift;
}

/* v * 2^-shift as an int8. */
static inline int8_t kg_loss_round(int32_t v, int32_t shift) {
  return (int8_t)kg_clamp_s32((int32_t)kg_round_shr_s64(v, shift), -127, 127);
}

/* The error tensor has been written with exponent `e`. */
static inline void kg_loss_exponent(kg_exponent *x, int32_t e) {
  int8_t v = (int8_t)kg_clamp_s32(e, KG_EXPONENT_MIN, KG_EXPONENT_MAX);
  x->e = v;
  x->next = v;
  x->quiet = 0;
}

#endif
