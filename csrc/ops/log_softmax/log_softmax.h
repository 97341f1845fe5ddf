/* Logarithm of softmax over the last axis: int8 with the fixed-point arithmetic of TensorFlow Lite's reference kernel; float32 for models
 * that end in real numbers. */
#ifndef KG_OPS_LOG_SOFTMAX_H
#define KG_OPS_LOG_SOFTMAX_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

enum { KG_LOG_SOFTMAX_MAX_DEPTH = 4095, KG_LOG_SOFTMAX_MAX_DEPTH_F32 = 1 << 24 };

typedef struct kg_log_softmax_args {
  kg_ref x;                  /* int8 [rows][depth] */
  kg_ref y;                  /* int8 [rows][depth], scale 1/16, zero point 127; may be x */
  kg_ref table;              /* int32 [256], constant: exp(-d * scale) as Q0.31 for d = max - x, 0 from some d on */
  int32_t rows, depth;       /* depth at most KG_LOG_SOFTMAX_MAX_DEPTH */
  int32_t multiplier, shift; /* differences to Q5.26 */
  int32_t reverse_multiplier, reverse_shift; /* Q5.26 to differences */
  int32_t least;                             /* smallest difference whose exponential is taken, -255..0 */
} kg_log_softmax_args;

void kg_log_softmax_ref_s8(const kg_log_softmax_args *args, const kg_memory *mem);
int32_t kg_log_softmax_check(const kg_log_softmax_args *args, kg_check *c);

/* y = (x - max) - log(sum exp(x - max)): the differences in IEEE single, exponential and logarithm in integers (Q30). */
typedef struct kg_log_softmax_f32_args {
  kg_ref x;            /* float32 [rows][depth] */
  kg_ref y;            /* float32 [rows][depth]; may be x */
  int32_t rows, depth; /* depth at most KG_LOG_SOFTMAX_MAX_DEPTH_F32 */
} kg_log_softmax_f32_args;

void kg_log_softmax_ref_f32(const kg_log_softmax_f32_args *args, const kg_memory *mem);
int32_t kg_log_softmax_f32_check(const kg_log_softmax_f32_args *args, kg_check *c);

/* gx = gy - p sum gy, p = table[y + 128]. */
typedef struct kg_log_softmax_grad_args {
  kg_ref gy;          /* int8 error [rows][depth] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref y;           /* int8 [rows][depth]: the saved result */
  kg_ref table;       /* int16 [256], constant: exp(y) in Q14 */
  kg_error_out gx;    /* int8 error [rows][depth]; may be gy */
  int32_t rows, depth;
} kg_log_softmax_grad_args;

void kg_log_softmax_grad_ref_s8(const kg_log_softmax_grad_args *args, const kg_memory *mem);
int32_t kg_log_softmax_grad_check(const kg_log_softmax_grad_args *args, kg_check *c);

#endif
