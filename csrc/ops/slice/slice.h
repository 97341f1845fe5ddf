/* Part of a tensor along one axis, copied. */
#ifndef KG_OPS_SLICE_H
#define KG_OPS_SLICE_H

#include "../../common/check.h"

/* y[o][i] = x[o][offset + i]. */
typedef struct kg_slice_args {
  kg_ref x; /* int8 [outer][stride] */
  kg_ref y; /* int8 [outer][chunk] */
  int32_t outer, chunk, stride, offset;
} kg_slice_args;

void kg_slice_ref_s8(const kg_slice_args *args, const kg_memory *mem);
int32_t kg_slice_check(const kg_slice_args *args, kg_check *c);

#endif
