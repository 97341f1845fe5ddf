/* Logistic function and hyperbolic tangent of int16, by one table with linear interpolation. (int8: ops/lut.) */
#ifndef KG_OPS_LOGISTIC_H
#define KG_OPS_LOGISTIC_H

#include "../../common/check.h"

/* u = (x * multiplier + half) >> shift, in units of 1 / 12288; the table holds the logistic function of i / 24 for i = 0..255 as Q0.16.
 * y = logistic(u) or, since tanh(u) = 2 logistic(2 u) - 1, tanh(u); Q0.15. */
typedef struct kg_logistic_args {
  kg_ref x;           /* int16 [count] */
  kg_ref y;           /* int16 [count]; may be x */
  kg_ref table;       /* uint16 [256], constant */
  int32_t multiplier; /* 0..32767 */
  int32_t shift;      /* 0..30 */
  int32_t tanh;       /* 0 or 1 */
  int32_t count;
} kg_logistic_args;

void kg_logistic_ref_s16(const kg_logistic_args *args, const kg_memory *mem);
int32_t kg_logistic_check(const kg_logistic_args *args, kg_check *c);

#endif
