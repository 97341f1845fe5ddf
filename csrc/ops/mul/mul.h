/* Element-wise product of two tensors, with a fused clamp, and its backward kernel. */
#ifndef KG_OPS_MUL_H
#define KG_OPS_MUL_H

#include "../../common/broadcast.h"
#include "../../common/error_tensor.h"

/* y = clamp(requantize((x1 - x1_zero) * (x2 - x2_zero)) + y_zero), rounded twice. */
typedef struct kg_mul_args {
  kg_binary of;
  int32_t multiplier, shift; /* shift -31..30 */
} kg_mul_args;

void kg_mul_ref_s8(const kg_mul_args *args, const kg_memory *mem);
void kg_mul_ref_s16(const kg_mul_args *args, const kg_memory *mem);
int32_t kg_mul_s8_check(const kg_mul_args *args, kg_check *c);
int32_t kg_mul_s16_check(const kg_mul_args *args, kg_check *c);

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
