/* Concatenation along one axis: one call for each operand, which copies it into its part of the result. */
#ifndef KG_OPS_CONCATENATION_H
#define KG_OPS_CONCATENATION_H

#include "../../common/check.h"

/* y[o][offset + i] = x[o][i], through a table when the operand has another quantization than the result. */
typedef struct kg_concatenation_args {
  kg_ref x;     /* int8 [outer][chunk] */
  kg_ref y;     /* int8 [outer][stride] */
  kg_ref table; /* int8 [256], constant, or none */
  int32_t outer, chunk, stride, offset;
} kg_concatenation_args;

void kg_concatenation_ref_s8(const kg_concatenation_args *args, const kg_memory *mem);
int32_t kg_concatenation_check(const kg_concatenation_args *args, kg_check *c);

#endif
