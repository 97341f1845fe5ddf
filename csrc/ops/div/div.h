/* Element-wise quotient of two int8 tensors, with a fused clamp, and its backward kernel. */
#ifndef KG_OPS_DIV_H
#define KG_OPS_DIV_H

#include "../../common/broadcast.h"
#include "../../common/error_tensor.h"

/* y = clamp(requantize((x1 - x1_zero) / (x2 - x2_zero)) + y_zero), the quotient by Newton's iteration as in LiteRT's reference kernel. A
 * quotient below one half, for which that kernel shifts by more than 31 bits, is 0. A divisor of zero gives the end of the int8 range on
 * the dividend's side, 0 / 0 the zero point. */
typedef struct kg_div_args {
  kg_binary of;
  int32_t multiplier, shift; /* shift -31..30 */
} kg_div_args;

void kg_div_ref_s8(const kg_div_args *args, const kg_memory *mem);
int32_t kg_div_check(const kg_div_args *args, kg_check *c);

/* gx = gy * table[other + 128] * 2^-table_exponent; gx may be gy exactly. */
typedef struct kg_div_grad_args {
  kg_ref gy;          /* int8 error, operand a of `shape`, not repeated */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref other;       /* int8, the divisor, operand b of `shape` */
  kg_ref table;       /* int32 [256], constant: 1 / x2 or -1 / x2^2, each at most 2^23 */
  kg_error_out gx;    /* int8 error, shaped as gy */
  kg_broadcast shape;
  int32_t table_exponent; /* -100..100 */
} kg_div_grad_args;

void kg_div_grad_ref_s8(const kg_div_grad_args *args, const kg_memory *mem);
int32_t kg_div_grad_check(const kg_div_grad_args *args, kg_check *c);

#endif
