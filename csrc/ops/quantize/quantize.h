/* float32 to int8 or int16. (int8 to int8 goes through a table, other integers through ops/rescale.) */
#ifndef KG_OPS_QUANTIZE_H
#define KG_OPS_QUANTIZE_H

#include "../../common/check.h"

/* y = clamp(round(x / scale) + zero), halves away from zero. NaN gives the lowest integer. */
typedef struct kg_quantize_args {
  kg_ref x;       /* float32 [count] */
  kg_ref y;       /* int8 or int16 [count] */
  kg_ref mask;    /* bits [count], 1 where the value before clamping is an int8; or none (int16: always none) */
  uint32_t scale; /* bits of a positive normal float32 */
  int32_t zero;
  int32_t count;
} kg_quantize_args;

void kg_quantize_ref_f32_s8(const kg_quantize_args *args, const kg_memory *mem);
void kg_quantize_ref_f32_s16(const kg_quantize_args *args, const kg_memory *mem);
int32_t kg_quantize_check(const kg_quantize_args *args, kg_check *c);
int32_t kg_quantize_s16_check(const kg_quantize_args *args, kg_check *c);

#endif
