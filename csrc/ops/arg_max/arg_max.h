/* Where along one axis the largest or smallest value stands. */
#ifndef KG_OPS_ARG_MAX_H
#define KG_OPS_ARG_MAX_H

#include "../../common/check.h"

/* y[o][i] = first k with the best x[o][k][i]. */
typedef struct kg_arg_max_args {
  kg_ref x; /* int8 [outer][axis][inner] */
  kg_ref y; /* int32 or int64 [outer][inner] */
  int32_t outer, axis, inner;
  int32_t minimum; /* 1: the smallest */
  int32_t wide;    /* 1: results are int64 */
} kg_arg_max_args;

void kg_arg_max_ref_s8(const kg_arg_max_args *args, const kg_memory *mem);
int32_t kg_arg_max_check(const kg_arg_max_args *args, kg_check *c);

#endif
