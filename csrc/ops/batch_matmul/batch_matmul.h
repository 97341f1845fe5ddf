/* Products of matrices, a batch of them, and their backward kernel. */
#ifndef KG_OPS_BATCH_MATMUL_H
#define KG_OPS_BATCH_MATMUL_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"

/* y[i][j][r][c] = sum over s, t, k of a[..] b[..]. The distance of each operand along each index, in elements, says what is transposed and
 * what is repeated (0). Sums over s and t serve operands that were repeated over the batch, in the backward pass. */
typedef struct kg_batch_matmul_shape {
  int32_t batch_0, batch_1, rows, columns; /* of the result: i, j, r, c */
  int32_t sum_0, sum_1, inner;             /* s, t, k */
  int32_t a_batch_0, a_batch_1, a_row, a_column, a_sum_0, a_sum_1, a_inner;
  int32_t b_batch_0, b_batch_1, b_row, b_column, b_sum_0, b_sum_1, b_inner;
} kg_batch_matmul_shape;

/* y = clamp(requantize(sum (a - a_zero)(b - b_zero)) + y_zero), rounded twice. */
typedef struct kg_batch_matmul_args {
  kg_ref a;    /* int8 */
  kg_ref b;    /* int8 */
  kg_ref y;    /* int8 [batch_0][batch_1][rows][columns] */
  kg_ref mask; /* bits like y, 1 where the value before clamping is an int8; or none */
  kg_batch_matmul_shape shape;
  int32_t a_zero, b_zero, y_zero;
  int32_t multiplier, shift; /* as kg_requantize takes them */
} kg_batch_matmul_args;

void kg_batch_matmul_ref_s8(const kg_batch_matmul_args *args, const kg_memory *mem);
int32_t kg_batch_matmul_check(const kg_batch_matmul_args *args, kg_check *c);

/* gx = sum gy * (b - b_zero) * scale, scale = fold * 2^-fold_exponent; sums times fold are rounded half up by fold_shift bits. */
typedef struct kg_batch_matmul_grad_args {
  kg_ref gy;          /* int8 error, operand a of `shape` */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref b;           /* int8, the other factor */
  kg_error_out gx;    /* int8 error [batch_0][batch_1][rows][columns] */
  kg_batch_matmul_shape shape;
  int32_t b_zero;
  int32_t fold;          /* 0..2^14 */
  int32_t fold_exponent; /* -100..100 */
  int32_t fold_shift;    /* 0..30: |sum * fold| >> fold_shift fits an int32 */
} kg_batch_matmul_grad_args;

void kg_batch_matmul_grad_ref_s8(const kg_batch_matmul_grad_args *args, const kg_memory *mem);
int32_t kg_batch_matmul_grad_check(const kg_batch_matmul_grad_args *args, kg_check *c);

#endif
