/* Element-wise sum of two int8 tensors, with a fused clamp. The error of the sum is the error of both operands: there is no backward kernel. */
#ifndef KG_OPS_ADD_H
#define KG_OPS_ADD_H

#include "../../common/broadcast.h"

/* y = clamp(requantize(requantize((x1 - x1_zero) << 20) + requantize((x2 - x2_zero) << 20)) + y_zero), as LiteRT's reference kernel.
 * y may be x1 or x2 exactly where that operand is not repeated. */
typedef struct kg_add_args {
  kg_ref x1;   /* int8, operand a of `shape` */
  kg_ref x2;   /* int8, operand b of `shape` */
  kg_ref y;    /* int8 */
  kg_ref mask; /* bits, 1 where the value before clamping lies in y_min..y_max; or none */
  kg_broadcast shape;
  int32_t x1_zero, x2_zero, y_zero;
  int32_t x1_multiplier, x1_shift; /* shifts -31..0 */
  int32_t x2_multiplier, x2_shift;
  int32_t y_multiplier, y_shift;
  int32_t y_min, y_max;
} kg_add_args;

/* Bits that the operands are shifted up before they are scaled. */
enum { KG_ADD_LEFT_SHIFT = 20 };

void kg_add_ref_s8(const kg_add_args *args, const kg_memory *mem);
int32_t kg_add_check(const kg_add_args *args, kg_check *c);

#endif
