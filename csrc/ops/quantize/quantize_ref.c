#include "quantize.h"

#include <string.h>

#include "../../common/output.h"

/* Nearest integer of a float32 given as bits, halves away from zero, saturated to +-2^30; NaN gives -2^30. */
static int32_t round_float(uint32_t bits) {
  const int32_t limit = (int32_t)1 << 30;
  const int32_t exponent = (int32_t)((bits >> 23) & 255u) - 127;
  const int32_t fraction = (int32_t)(bits & 0x7FFFFFu);
  const int32_t negative = (int32_t)(bits >> 31);
  if (exponent == 128 && fraction != 0) return -limit;
  if (exponent >= 30) return negative ? -limit : limit;
  if (exponent < -1) return 0;
  const int32_t mantissa = fraction | (1 << 23);
  const int32_t shift = 23 - exponent;
  const int32_t v = shift <= 0 ? mantissa << -shift : (mantissa + ((int32_t)1 << (shift - 1))) >> shift;
  return negative ? -v : v;
}

/* x / scale as integer. */
static int32_t steps(float x, float scale) {
  const float ratio = x / scale;
  uint32_t bits; /* through memory: no excess precision survives */
  memcpy(&bits, &ratio, sizeof bits);
  return round_float(bits);
}

void kg_quantize_ref_f32_s8(const kg_quantize_args *a, const kg_memory *mem) {
  const float *x = (const float *)kg_in(mem, a->x);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->zero, -128, 127);
  float scale;
  memcpy(&scale, &a->scale, sizeof scale);
  for (int32_t i = 0; i < a->count; ++i) kg_output_put(&out, steps(x[i], scale));
  kg_output_end(&out);
}

void kg_quantize_ref_f32_s16(const kg_quantize_args *a, const kg_memory *mem) {
  const float *x = (const float *)kg_in(mem, a->x);
  int16_t *y = (int16_t *)kg_out(mem, a->y);
  float scale;
  memcpy(&scale, &a->scale, sizeof scale);
  for (int32_t i = 0; i < a->count; ++i) y[i] = (int16_t)kg_clamp_s32(steps(x[i], scale) + a->zero, -32768, 32767);
}
