/* Mean and sum over any axes of a tensor of up to four axes. */
#ifndef KG_OPS_MEAN_H
#define KG_OPS_MEAN_H

#include "../../common/error_tensor.h"
#include "../../common/reduce.h"

/* y = clamp(requantize(sum (x - x_zero)) + y_zero); the multiplier of a mean contains 1 / count. */
typedef struct kg_mean_args {
  kg_ref x;    /* int8 [d0][d1][d2][d3] */
  kg_ref y;    /* int8, the axes that stay */
  kg_ref mask; /* bits like y, 1 where the value before clamping is an int8; or none */
  kg_reduce_shape shape;
  int32_t multiplier, shift; /* as kg_requantize takes them */
  int32_t x_zero, y_zero;
} kg_mean_args;

void kg_mean_ref_s8(const kg_mean_args *args, const kg_memory *mem);
int32_t kg_mean_check(const kg_mean_args *args, kg_check *c);

/* gx = gy / count, 1 / count = reciprocal * 2^-reciprocal_shift; of a sum, 1 = 2^14 * 2^-14. */
typedef struct kg_mean_grad_args {
  kg_ref gy;          /* int8 error, the axes that stayed */
  kg_ref gy_exponent; /* kg_exponent */
  kg_error_out gx;    /* int8 error [d0][d1][d2][d3] */
  kg_reduce_shape shape;
  int32_t reciprocal;       /* 2^14..2^15 */
  int32_t reciprocal_shift; /* 14..38 */
} kg_mean_grad_args;

void kg_mean_grad_ref_s8(const kg_mean_grad_args *args, const kg_memory *mem);
int32_t kg_mean_grad_check(const kg_mean_grad_args *args, kg_check *c);

#endif
