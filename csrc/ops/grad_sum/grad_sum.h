/* Sum of two error tensors, each with its own exponent, into a third with its own. */
#ifndef KG_OPS_GRAD_SUM_H
#define KG_OPS_GRAD_SUM_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

/* The sum is taken in units of 2^(E - 20), E the larger exponent: exact when the exponents differ by at most 20; beyond that the
 * operand with the smaller exponent is rounded half up. */
enum { KG_GRAD_SUM_HEADROOM = 20 };

typedef struct kg_grad_sum_args {
  kg_ref a;          /* int8 error [count] */
  kg_ref a_exponent; /* kg_exponent */
  kg_ref b;          /* int8 error [count] */
  kg_ref b_exponent; /* kg_exponent */
  kg_error_out sum;  /* int8 error [count]; may be a or b */
  int32_t count;
} kg_grad_sum_args;

void kg_grad_sum_ref_s8(const kg_grad_sum_args *args, const kg_memory *mem);
/* The same bits, rounded in rows (common/dsp/errors.h). */
void kg_grad_sum_dsp_s8(const kg_grad_sum_args *args, const kg_memory *mem);
int32_t kg_grad_sum_check(const kg_grad_sum_args *args, kg_check *c);

#endif
