/* Element-wise larger or smaller of two tensors of one quantization. */
#ifndef KG_OPS_MAXIMUM_H
#define KG_OPS_MAXIMUM_H

#include "../../common/broadcast.h"

/* y = max(x1, x2) or min(x1, x2); y may be x1 or x2 exactly where that operand is not repeated. */
typedef struct kg_maximum_args {
  kg_ref x1;      /* operand a of `shape` */
  kg_ref x2;      /* operand b of `shape` */
  kg_ref y;       /* result */
  kg_ref x1_wins; /* bits like y, 1 where the result is x1; or none */
  kg_ref x2_wins; /* bits like y, 1 where it is x2 and not x1; or none */
  kg_broadcast shape;
  int32_t minimum; /* 1: the smaller */
} kg_maximum_args;

void kg_maximum_ref_s8(const kg_maximum_args *args, const kg_memory *mem);
void kg_maximum_ref_s16(const kg_maximum_args *args, const kg_memory *mem);
int32_t kg_maximum_s8_check(const kg_maximum_args *args, kg_check *c);
int32_t kg_maximum_s16_check(const kg_maximum_args *args, kg_check *c);

#endif
