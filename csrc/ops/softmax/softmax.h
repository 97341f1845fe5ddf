/* Softmax over the last axis, with the fixed-point arithmetic of TensorFlow Lite's reference kernel. */
#ifndef KG_OPS_SOFTMAX_H
#define KG_OPS_SOFTMAX_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

enum { KG_SOFTMAX_MAX_DEPTH = 4095 }; /* sums of exponentials (Q12.19) stay below 2^31 */

typedef struct kg_softmax_args {
  kg_ref x;            /* int8 [rows][depth] */
  kg_ref y;            /* int8 [rows][depth], scale 1/256, zero point -128 */
  kg_ref table;        /* int32 [256], constant: exp(-d * scale * beta) as Q0.31 for d = max - x */
  int32_t rows, depth; /* depth at most KG_SOFTMAX_MAX_DEPTH */
} kg_softmax_args;

void kg_softmax_ref_s8(const kg_softmax_args *args, const kg_memory *mem);
int32_t kg_softmax_check(const kg_softmax_args *args, kg_check *c);

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
