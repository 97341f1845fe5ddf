/* Results that the common scaling of sums.h does not suit: one at a time, as the reference computes them. */
#ifndef KG_COMMON_DSP_ODD_H
#define KG_COMMON_DSP_ODD_H

#include "../bits.h"
#include "../fixed_point.h"

typedef struct kg_odd {
  int8_t *y;
  uint8_t *mask; /* or NULL */
  int32_t zero, lo, hi;
} kg_odd;

/* Result `index` of the whole tensor, and its bit. */
static inline void kg_odd_put(const kg_odd *o, int32_t index, int32_t sum, int32_t multiplier, int32_t shift) {
  const int32_t v = kg_add_wrap(kg_requantize(sum, multiplier, shift), o->zero);
  const int32_t q = kg_clamp_s32(v, o->lo, o->hi);
  o->y[index] = (int8_t)q;
  if (!o->mask) return;
  o->mask[index / 8] = (uint8_t)(o->mask[index / 8] & ~(1u << index % 8));
  if (q == v) kg_bits_set(o->mask, index);
}

#endif
