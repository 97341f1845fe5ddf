/* Largest or smallest value over any axes of a tensor of up to four axes. */
#ifndef KG_OPS_REDUCE_MAX_H
#define KG_OPS_REDUCE_MAX_H

#include "../../common/reduce.h"

/* y = max(x) or min(x) over each group. */
typedef struct kg_reduce_max_args {
  kg_ref x;      /* [d0][d1][d2][d3] */
  kg_ref y;      /* the axes that stay */
  kg_ref winner; /* bits like x, 1 at the first element of each group that equals the result; or none */
  kg_reduce_shape shape;
  int32_t minimum; /* 1: the smallest */
} kg_reduce_max_args;

void kg_reduce_max_ref_s8(const kg_reduce_max_args *args, const kg_memory *mem);
void kg_reduce_max_ref_s16(const kg_reduce_max_args *args, const kg_memory *mem);
int32_t kg_reduce_max_s8_check(const kg_reduce_max_args *args, kg_check *c);
int32_t kg_reduce_max_s16_check(const kg_reduce_max_args *args, kg_check *c);

#endif
