/* Softmax over the last axis, with the fixed-point arithmetic of TensorFlow Lite's reference kernel. */
#ifndef KG_OPS_SOFTMAX_H
#define KG_OPS_SOFTMAX_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

enum {
  KG_SOFTMAX_MAX_DEPTH = 4095,
  KG_SOFTMAX_MAX_DEPTH_S16 = 65535
}; /* sums of exponentials (Q12.19, Q16.15) stay below 2^31 */

typedef struct kg_softmax_args {
  kg_ref x;            /* int8 [rows][depth] */
  kg_ref y;            /* int8, scale 1/256, zero point -128; or int16, scale 1/65536, zero point -32768; [rows][depth] */
  kg_ref table;        /* int32 [256], constant: exp(-d * scale * beta) as Q0.31 for d = max - x */
  int32_t rows, depth; /* depth at most KG_SOFTMAX_MAX_DEPTH */
} kg_softmax_args;

void kg_softmax_ref_s8(const kg_softmax_args *args, const kg_memory *mem);
void kg_softmax_ref_s8_s16(const kg_softmax_args *args, const kg_memory *mem);
int32_t kg_softmax_check(const kg_softmax_args *args, kg_check *c);
int32_t kg_softmax_s8_s16_check(const kg_softmax_args *args, kg_check *c);

/* int16: exponential and reciprocal by tables with linear interpolation. */
typedef struct kg_softmax_s16_args {
  kg_ref x;                  /* int16 [rows][depth] */
  kg_ref y;                  /* int16 [rows][depth], scale 1/32768, zero point 0; may be x */
  kg_ref exp_table;          /* int16 [513], constant: exp(v) for v = -10..0, Q0.15 */
  kg_ref inverse_table;      /* int16 [513], constant: 1 / (1 + v) for v = 0..1, Q0.15 */
  int32_t multiplier, shift; /* of differences: 10 are 65535 */
  int32_t rows, depth;       /* depth at most KG_SOFTMAX_MAX_DEPTH_S16 */
} kg_softmax_s16_args;

void kg_softmax_ref_s16(const kg_softmax_s16_args *args, const kg_memory *mem);
int32_t kg_softmax_s16_check(const kg_softmax_s16_args *args, kg_check *c);

/* gx = beta * p * (gy - sum p gy), p = (y + 128) / 256, beta a power of two. */
typedef struct kg_softmax_grad_args {
  kg_ref gy;          /* int8 error [rows][depth] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref y;           /* int8 [rows][depth]: the saved result */
  kg_error_out gx;    /* int8 error [rows][depth]; may be gy */
  int32_t rows, depth;
  int32_t unit; /* log2(beta) - 16, -48..16 */
} kg_softmax_grad_args;

void kg_softmax_grad_ref_s8(const kg_softmax_grad_args *args, const kg_memory *mem);
int32_t kg_softmax_grad_check(const kg_softmax_grad_args *args, kg_check *c);

#endif
