/* Functions of one int8 as a table (relu, logistic, tanh, exp, ...), and the backward pass of those whose slope is a table. */
#ifndef KG_OPS_LUT_H
#define KG_OPS_LUT_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

/* y = table[x + 128]. */
typedef struct kg_lut_args {
  kg_ref x;      /* int8 [count] */
  kg_ref y;      /* int8 [count]; may be x */
  kg_ref table;  /* int8 [256], constant */
  kg_ref inside; /* bits [256], constant: 1 where table[i] was not clamped; present when mask is */
  kg_ref mask;   /* bits [count], or none */
  int32_t count;
} kg_lut_args;

void kg_lut_ref_s8(const kg_lut_args *args, const kg_memory *mem);
int32_t kg_lut_check(const kg_lut_args *args, kg_check *c);

/* gx = gy * table[saved + 128] * 2^unit. */
typedef struct kg_lut_grad_args {
  kg_ref gy;          /* int8 error [count] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref saved;       /* int8 [count]: operand or result of the forward pass */
  kg_ref table;       /* int16 [256], constant: derivative in units of 2^unit */
  kg_error_out gx;    /* int8 error [count]; may be gy */
  int32_t count;
  int32_t unit; /* -64..64 */
} kg_lut_grad_args;

void kg_lut_grad_ref_s8(const kg_lut_grad_args *args, const kg_memory *mem);
int32_t kg_lut_grad_check(const kg_lut_grad_args *args, kg_check *c);

#endif
