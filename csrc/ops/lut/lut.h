/* Functions of one int8 as a table: int8 requantization, relu, relu6, logistic. */
#ifndef KG_OPS_LUT_H
#define KG_OPS_LUT_H

#include "../../common/check.h"

/* y = table[x + 128]. */
typedef struct kg_lut_args {
  kg_ref x;      /* int8 [count] */
  kg_ref y;      /* int8 [count]; may be x */
  kg_ref table;  /* int8 [256], constant */
  kg_ref inside; /* bits [256], constant: 1 where table[i] was not clamped; present when mask is */
  kg_ref mask;   /* bits [count], or none */
  int32_t count;
} kg_lut_args;

void kg_lut_ref_s8(const kg_lut_args *args, const kg_memory *mem);
int32_t kg_lut_check(const kg_lut_args *args, kg_check *c);

#endif
