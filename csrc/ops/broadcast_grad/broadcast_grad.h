/* Error of a repeated operand: the errors of all its copies, summed; or negated, where the operand is subtracted. */
#ifndef KG_OPS_BROADCAST_GRAD_H
#define KG_OPS_BROADCAST_GRAD_H

#include "../../common/error_tensor.h"
#include "../../common/reduce.h"

/* gx = sign * sum of gy over the axes along which the operand was repeated. gx may be gy exactly where no axis is summed. */
typedef struct kg_broadcast_grad_args {
  kg_ref gy;          /* int8 error [d0][d1][d2][d3] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_error_out gx;    /* int8 error, the axes that stay */
  kg_reduce_shape shape;
  int32_t sign; /* 1 or -1 */
} kg_broadcast_grad_args;

void kg_broadcast_grad_ref_s8(const kg_broadcast_grad_args *args, const kg_memory *mem);
int32_t kg_broadcast_grad_check(const kg_broadcast_grad_args *args, kg_check *c);

#endif
