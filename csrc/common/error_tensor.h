/* Writing int8 error tensors: stochastic rounding to a delayed power-of-two exponent. */
#ifndef KG_COMMON_ERROR_TENSOR_H
#define KG_COMMON_ERROR_TENSOR_H

#include "fixed_point.h"
#include "random.h"
#include "train_state.h"

/* Names the exponent and the random stream of an error tensor that a kernel writes. */
typedef struct kg_error_out {
  kg_ref data;     /* int8 q */
  kg_ref exponent; /* kg_exponent in the state segment */
  kg_ref train;    /* kg_train_state */
  uint32_t tensor; /* key of the random stream: CRC-32 of the tensor's name */
} kg_error_out;

typedef struct kg_error_writer {
  int8_t *data;
  kg_exponent *exponent;
  uint32_t start; /* of the random sequence */
  int32_t shift;  /* q = acc * 2^-shift */
  uint32_t peak;  /* largest |acc| so far */
} kg_error_writer;

/* Exponent e of an error tensor that is read: its values are q * 2^e. */
static inline int32_t kg_error_exponent(const kg_memory *mem, kg_ref exponent) {
  return ((const kg_exponent *)kg_in(mem, exponent))->e;
}

/* Begin to write a tensor whose accumulators have the value acc * 2^acc_exponent. */
static inline kg_error_writer kg_error_begin(const kg_memory *mem, const kg_error_out *out, int32_t acc_exponent) {
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, out->train);
  kg_error_writer w;
  w.data = (int8_t *)kg_out(mem, out->data);
  w.exponent = (kg_exponent *)kg_out(mem, out->exponent);
  w.start = kg_random_start(train->seed, train->step, out->tensor);
  w.shift = kg_exponent_begin(w.exponent) - acc_exponent;
  w.peak = 0;
  return w;
}

/* v * 2^-shift, rounded stochastically with 16 random bits; shift <= 0 is exact. Saturates to +-127. */
static inline int8_t kg_error_round(int32_t v, int32_t shift, uint32_t random) {
  int64_t q;
  if (shift <= 0) {
    q = kg_scale_pow2_s64(v, -shift);
  } else if (shift > 47) { /* |v| < 2^-16 of a unit: below the resolution of the random number */
    q = 0;
  } else {
    int64_t r = shift <= 16 ? (int64_t)(random >> (16 - shift)) : (int64_t)random << (shift - 16);
    q = ((int64_t)v + r) >> shift;
  }
  return (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
}

/* Quantize accumulator `acc` into element `index` (linear, in the whole tensor). */
static inline void kg_error_put(kg_error_writer *w, int32_t index, int32_t acc) {
  uint32_t magnitude = acc < 0 ? 0u - (uint32_t)acc : (uint32_t)acc;
  if (magnitude > w->peak) w->peak = magnitude;
  w->data[index] = kg_error_round(acc, w->shift, kg_random_at(w->start, (uint32_t)index));
}

/* All elements are written: settle the exponent of the next step. */
static inline void kg_error_end(const kg_error_writer *w) { kg_exponent_end(w->exponent, w->peak, w->shift); }

#endif
