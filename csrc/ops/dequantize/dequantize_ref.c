#include "dequantize.h"

#include <string.h>

void kg_dequantize_ref_s8_f32(const kg_dequantize_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  float *y = (float *)kg_out(mem, a->y);
  float scale;
  memcpy(&scale, &a->scale, sizeof scale);
  for (int32_t i = 0; i < a->count; ++i) y[i] = scale * (float)(x[i] - a->zero);
}

void kg_dequantize_ref_s16_f32(const kg_dequantize_args *a, const kg_memory *mem) {
  const int16_t *x = (const int16_t *)kg_in(mem, a->x);
  float *y = (float *)kg_out(mem, a->y);
  float scale;
  memcpy(&scale, &a->scale, sizeof scale);
  for (int32_t i = 0; i < a->count; ++i) y[i] = scale * (float)(x[i] - a->zero);
}
