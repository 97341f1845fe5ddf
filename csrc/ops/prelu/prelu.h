/* Rectifier with a learned slope a channel: y = x above zero, alpha x below. Alpha repeats along the last axes. */
#ifndef KG_OPS_PRELU_H
#define KG_OPS_PRELU_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

/* y = clamp(requantize(x - x_zero) + y_zero), below zero with (x - x_zero)(alpha - alpha_zero) and the other factor. */
typedef struct kg_prelu_args {
  kg_ref x;     /* int8 [count] */
  kg_ref y;     /* int8 [count]; may be x */
  kg_ref alpha; /* int8 [period] */
  kg_ref mask;  /* bits [count], or none */
  int32_t x_zero, alpha_zero, y_zero;
  int32_t multiplier, shift;             /* above zero */
  int32_t alpha_multiplier, alpha_shift; /* below */
  int32_t count, period;                 /* period divides count */
} kg_prelu_args;

void kg_prelu_ref_s8(const kg_prelu_args *args, const kg_memory *mem);
int32_t kg_prelu_check(const kg_prelu_args *args, kg_check *c);

/* gx = gy * (x < x_zero ? slope : one) * 2^unit. */
typedef struct kg_prelu_grad_args {
  kg_ref gy;           /* int8 error [count] */
  kg_ref gy_exponent;  /* kg_exponent */
  kg_ref x;            /* int8 [count]: the saved operand */
  kg_ref slope;        /* int16 [period], constant: alpha in units of 2^unit */
  kg_error_out gx;     /* int8 error [count]; may be gy */
  int32_t x_zero, one; /* one: 1 in units of 2^unit, 0..32767 */
  int32_t count, period;
  int32_t unit; /* -64..64 */
} kg_prelu_grad_args;

void kg_prelu_grad_ref_s8(const kg_prelu_grad_args *args, const kg_memory *mem);
int32_t kg_prelu_grad_check(const kg_prelu_grad_args *args, kg_check *c);

#endif
