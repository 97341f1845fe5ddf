/* Backward kernel of the squared difference (its forward kernel is that of add). */
#ifndef KG_OPS_SQUARED_DIFFERENCE_H
#define KG_OPS_SQUARED_DIFFERENCE_H

#include "../../common/broadcast.h"
#include "../../common/error_tensor.h"

/* gx = gy * ((x1 - x1_zero) * x1_fold - (x2 - x2_zero) * x2_fold) * 2^-fold_exponent; gx may be gy exactly. The folds contain the scales and
 * the sign and factor of the derivative. */
typedef struct kg_squared_difference_grad_args {
  kg_ref gy;          /* int8 error, linear over the result */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref x1;          /* int8, operand a of `shape` */
  kg_ref x2;          /* int8, operand b of `shape` */
  kg_error_out gx;    /* int8 error, shaped as gy */
  kg_broadcast shape;
  int32_t x1_zero, x2_zero;
  int32_t x1_fold, x2_fold; /* -2^14..2^14 */
  int32_t fold_exponent;    /* -100..100 */
} kg_squared_difference_grad_args;

void kg_squared_difference_grad_ref_s8(const kg_squared_difference_grad_args *args, const kg_memory *mem);
int32_t kg_squared_difference_grad_check(const kg_squared_difference_grad_args *args, kg_check *c);

#endif
