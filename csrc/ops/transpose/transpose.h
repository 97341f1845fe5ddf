/* Permutation of the axes of a tensor of up to four axes. */
#ifndef KG_OPS_TRANSPOSE_H
#define KG_OPS_TRANSPOSE_H

#include "../../common/check.h"

/* y[i][j][k][l] = x[i * s0 + j * s1 + k * s2 + l * s3] */
typedef struct kg_transpose_args {
  kg_ref x; /* int8, as many as y */
  kg_ref y; /* int8 [d0][d1][d2][d3] */
  int32_t d0, d1, d2, d3;
  int32_t s0, s1, s2, s3; /* elements of x from one index to the next */
} kg_transpose_args;

void kg_transpose_ref_s8(const kg_transpose_args *args, const kg_memory *mem);
int32_t kg_transpose_check(const kg_transpose_args *args, kg_check *c);

#endif
