/* State of a training run: one kg_train_state in the state segment, and one kg_exponent for each stored error tensor. */
#ifndef KG_COMMON_TRAIN_STATE_H
#define KG_COMMON_TRAIN_STATE_H

#include "memory.h"

typedef struct kg_train_state {
  uint32_t seed;       /* of all random numbers */
  uint32_t step;       /* training samples seen, the current one included */
  int32_t lr_mantissa; /* learning rate of this step: lr_mantissa * 2^lr_exponent, mantissa in [2^14, 2^15) or 0 */
  int32_t lr_exponent;
  int32_t loss;      /* of the last sample: Q16 (nats for cross-entropy; mean squared real units for MSE) */
  int32_t predicted; /* class with the largest logit of the last sample, -1 where there are no classes */
  int32_t skip;      /* 1: the last sample was learned well enough, no backward pass */
  int32_t skipped;   /* samples skipped so far */
  int32_t apply;     /* 1: this step applies the accumulated updates */
  int32_t reserved[3];
} kg_train_state;

/* Delayed power-of-two exponent of an int8 error tensor (docs/numerics.md): a value is q * 2^e. The producer quantizes with the
 * exponent that the previous step left and leaves one for the next, so one pass over the tensor is enough. */
typedef struct kg_exponent {
  int8_t e;      /* exponent of what the tensor holds now */
  int8_t next;   /* exponent that the producer uses at the next step */
  uint8_t quiet; /* steps in a row with a peak of at most 63.75 */
  uint8_t reserved[5];
} kg_exponent;

enum { KG_EXPONENT_MIN = -60, KG_EXPONENT_MAX = 30, KG_EXPONENT_PATIENCE = 32 };

/* Exponent with which the producer quantizes at this step; stored values outside the legal range are pulled into it. */
static inline int32_t kg_exponent_begin(kg_exponent *x) {
  int32_t e = x->next;
  if (e < KG_EXPONENT_MIN) e = KG_EXPONENT_MIN;
  if (e > KG_EXPONENT_MAX) e = KG_EXPONENT_MAX;
  x->e = (int8_t)e;
  return e;
}

/* The rule for the next step. `peak` is the largest |v| before rounding and clamping, in units of 2^-shift of q:
 * v_q = peak * 2^-shift. Above 127.5: one up. At most 63.75 for 32 steps in a row: one down. */
static inline void kg_exponent_end(kg_exponent *x, uint32_t peak, int32_t shift) {
  int32_t s = shift < -28 ? -28 : shift > 40 ? 40 : shift;
  /* compare 4 * peak with 510 * 2^shift and 255 * 2^shift in 64 bits */
  uint64_t p = (uint64_t)peak * 4u;
  uint64_t one = 1;
  if (s < 0)
    p <<= -s; /* peak < 2^32: 2^34 * 2^28 fits */
  else
    one <<= s;
  if (p > 510u * one) {
    x->next = (int8_t)(x->e < KG_EXPONENT_MAX ? x->e + 1 : KG_EXPONENT_MAX);
    x->quiet = 0;
  } else if (p > 255u * one) {
    x->next = x->e;
    x->quiet = 0;
  } else if (x->quiet + 1 >= KG_EXPONENT_PATIENCE) {
    x->next = (int8_t)(x->e > KG_EXPONENT_MIN ? x->e - 1 : KG_EXPONENT_MIN);
    x->quiet = 0;
  } else {
    x->next = x->e;
    x->quiet = (uint8_t)(x->quiet + 1);
  }
}

#endif
