/* Every move of elements: a box of up to six axes, read with its strides and written with others. Transpositions, slices, concatenations,
 * borders, tiles and reversals are one or several of these. */
#ifndef KG_OPS_STRIDED_COPY_H
#define KG_OPS_STRIDED_COPY_H

#include "../../common/check.h"

/* Sizes of the box, outermost axis first, and the distance between neighbours along each axis in x and in y, in elements. Distances may
 * be negative (backwards) and 0 (the same element again). */
typedef struct kg_strided_copy_shape {
  int32_t size_0, size_1, size_2, size_3, size_4, size_5;
  int32_t x_0, x_1, x_2, x_3, x_4, x_5;
  int32_t y_0, y_1, y_2, y_3, y_4, y_5;
} kg_strided_copy_shape;

/* y[y_offset + sum i * y_k] = x[x_offset + sum i * x_k], through a table where x has another quantization than y. */
typedef struct kg_strided_copy_args {
  kg_ref x;      /* elements of `width` bytes */
  kg_ref y;      /* elements of `width` bytes */
  kg_ref table;  /* int8 [256], constant, or none; only for width 1 */
  int32_t width; /* 1, 2, 4 or 8 */
  int32_t x_offset, y_offset;
  kg_strided_copy_shape shape;
} kg_strided_copy_args;

void kg_strided_copy_ref_any(const kg_strided_copy_args *args, const kg_memory *mem);
int32_t kg_strided_copy_check(const kg_strided_copy_args *args, kg_check *c);

/* Sizes of the box of gx, and the distances between the elements of gy from which each axis starts; sizes and distances of the box of gy
 * that is summed for each element. */
typedef struct kg_strided_sum_shape {
  int32_t size_0, size_1, size_2, size_3;
  int32_t y_0, y_1, y_2, y_3;
  int32_t many_0, many_1, many_2, many_3;
  int32_t step_0, step_1, step_2, step_3;
} kg_strided_sum_shape;

/* gx[i] = sum over j of gy[sum i * y_k + sum j * step_k]: the error of what was repeated. */
typedef struct kg_strided_sum_args {
  kg_ref gy;          /* int8 error */
  kg_ref gy_exponent; /* kg_exponent */
  kg_error_out gx;    /* int8 error, whole */
  kg_strided_sum_shape shape;
} kg_strided_sum_args;

void kg_strided_sum_ref_s8(const kg_strided_sum_args *args, const kg_memory *mem);
int32_t kg_strided_sum_check(const kg_strided_sum_args *args, kg_check *c);

#endif
