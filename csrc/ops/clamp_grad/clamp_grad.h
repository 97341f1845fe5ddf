/* Error behind a clamp: 0 where the forward pass clamped. The exponent is shared with gy. */
#ifndef KG_OPS_CLAMP_GRAD_H
#define KG_OPS_CLAMP_GRAD_H

#include "../../common/check.h"

typedef struct kg_clamp_grad_args {
  kg_ref gy;   /* int8 error [count] */
  kg_ref mask; /* bits [count] */
  kg_ref gx;   /* int8 error [count]; may be gy */
  int32_t count;
} kg_clamp_grad_args;

void kg_clamp_grad_ref_s8(const kg_clamp_grad_args *args, const kg_memory *mem);
/* The same bits eight elements at a time, which suits cores with the DSP extension. */
void kg_clamp_grad_dsp_s8(const kg_clamp_grad_args *args, const kg_memory *mem);
int32_t kg_clamp_grad_check(const kg_clamp_grad_args *args, kg_check *c);

#endif
