/* Backward pass of table functions whose derivative follows from their result (logistic). The forward pass is ops/lut. */
#ifndef KG_OPS_LOGISTIC_H
#define KG_OPS_LOGISTIC_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

/* gx = gy * table[y + 128] * 2^-15. */
typedef struct kg_lut_grad_args {
  kg_ref gy;          /* int8 error [count] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref y;           /* int8 [count]: the saved result */
  kg_ref table;       /* int16 [256], constant: derivative, Q15 */
  kg_error_out gx;    /* int8 error [count]; may be gy */
  int32_t count;
} kg_lut_grad_args;

void kg_lut_grad_ref_s8(const kg_lut_grad_args *args, const kg_memory *mem);
int32_t kg_lut_grad_check(const kg_lut_grad_args *args, kg_check *c);

#endif
