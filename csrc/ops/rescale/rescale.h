/* Piecewise linear functions of integers with a kink at zero: changes of quantization between int8, int16 and int32, and
 * leaky relu, relu, relu6, absolute value, negation of int16. (From int8 to int8 a table does it: ops/lut.) */
#ifndef KG_OPS_RESCALE_H
#define KG_OPS_RESCALE_H

#include "../../common/check.h"

/* y = clamp(requantize(x - x_zero) + y_zero), with one factor below zero and one from zero on. */
typedef struct kg_rescale_args {
  kg_ref x;                              /* integers [count] of x_bytes bytes */
  kg_ref y;                              /* integers [count] of y_bytes bytes; may be x when both are equally wide */
  int32_t x_bytes, y_bytes;              /* 1, 2 or 4 */
  int32_t x_zero, y_zero;                /* integers of x and of y */
  int32_t below_multiplier, below_shift; /* multiplier of either sign; shift in -31..30 */
  int32_t above_multiplier, above_shift;
  int32_t lo, hi; /* integers of y */
  int32_t count;
} kg_rescale_args;

void kg_rescale_ref(const kg_rescale_args *args, const kg_memory *mem);
int32_t kg_rescale_check(const kg_rescale_args *args, kg_check *c);

#endif
