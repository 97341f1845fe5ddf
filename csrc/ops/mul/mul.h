/* Element-wise product of two int8 tensors, with a fused clamp, and its backward kernel. */
#ifndef KG_OPS_MUL_H
#define KG_OPS_MUL_H

#include "../../common/broadcast.h"
#include "../../common/error_tensor.h"

/* y = clamp(requantize((x1 - x1_zero) * (x2 - x2_zero)) + y_zero), rounded twice. y may be x1 or x2 exactly where that operand is not
 * repeated. */
typedef struct kg_mul_args {
  kg_ref x1;   /* int8, operand a of `shape` */
  kg_ref x2;   /* int8, operand b of `shape` */
  kg_ref y;    /* int8 */
  kg_ref mask; /* bits, 1 where the value before clamping lies in y_min..y_max; or none */
  kg_broadcast shape;
  int32_t x1_zero, x2_zero, y_zero;
  int32_t multiplier, shift; /* shift -31..14 */
  int32_t y_min, y_max;
} kg_mul_args;

void kg_mul_ref_s8(const kg_mul_args *args, const kg_memory *mem);
int32_t kg_mul_check(const kg_mul_args *args, kg_check *c);

/* gx = gy * (other - other_zero) * scale, scale = fold * 2^-fold_exponent; gx may be gy exactly. */
typedef struct kg_mul_grad_args {
  kg_ref gy;          /* int8 error, operand a of `shape`, not repeated */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref other;       /* int8, the other factor, operand b of `shape` */
  kg_error_out gx;    /* int8 error, shaped as gy */
  kg_broadcast shape;
  int32_t other_zero;
  int32_t fold;          /* 0..2^14 */
  int32_t fold_exponent; /* -100..100 */
} kg_mul_grad_args;

void kg_mul_grad_ref_s8(const kg_mul_grad_args *args, const kg_memory *mem);
int32_t kg_mul_grad_check(const kg_mul_grad_args *args, kg_check *c);

#endif
