/* int8 or int16 to float32. */
#ifndef KG_OPS_DEQUANTIZE_H
#define KG_OPS_DEQUANTIZE_H

#include "../../common/check.h"

/* y = scale * (x - zero), one rounding. */
typedef struct kg_dequantize_args {
  kg_ref x;       /* int8 or int16 [count] */
  kg_ref y;       /* float32 [count] */
  uint32_t scale; /* bits of a positive normal float32 */
  int32_t zero;
  int32_t count;
} kg_dequantize_args;

void kg_dequantize_ref_s8_f32(const kg_dequantize_args *args, const kg_memory *mem);
void kg_dequantize_ref_s16_f32(const kg_dequantize_args *args, const kg_memory *mem);
int32_t kg_dequantize_check(const kg_dequantize_args *args, kg_check *c);
int32_t kg_dequantize_s16_check(const kg_dequantize_args *args, kg_check *c);

#endif
