#include "cast.h"

#include <string.h>

#include "../../common/fixed_point.h"

/* An element as an integer; float32 is cut towards zero and saturated. */
static int32_t load(const void *x, int32_t from, int32_t i) {
  if (from == KG_CAST_S16) return ((const int16_t *)x)[i];
  if (from != KG_CAST_F32)
    return from == KG_CAST_S32 ? ((const int32_t *)x)[i] : ((const int8_t *)x)[i] + (from == KG_CAST_U8 ? 128 : 0);
  uint32_t bits;
  memcpy(&bits, (const float *)x + i, sizeof bits);
  const int32_t exponent = (int32_t)((bits >> 23) & 255u) - 127;
  const uint32_t fraction = bits & 0x7FFFFFu;
  const int32_t negative = (int32_t)(bits >> 31);
  if (exponent == 128 && fraction != 0) return 0;
  if (exponent >= 31) return negative ? INT32_MIN : INT32_MAX;
  if (exponent < 0) return 0;
  const uint32_t mantissa = fraction | (1u << 23);
  const int32_t v = (int32_t)(exponent > 23 ? mantissa << (exponent - 23) : mantissa >> (23 - exponent));
  return negative ? -v : v;
}

void kg_cast_ref(const kg_cast_args *a, const kg_memory *mem) {
  const void *x = kg_in(mem, a->x);
  void *y = kg_out(mem, a->y);
  const int32_t real = a->from == KG_CAST_F32;
  for (int32_t i = 0; i < a->count; ++i) {
    if (real && a->to == KG_CAST_F32) {
      memcpy((float *)y + i, (const float *)x + i, sizeof(float));
      continue;
    }
    const int32_t v = load(x, a->from, i);
    switch (a->to) {
    case KG_CAST_S8: ((int8_t *)y)[i] = (int8_t)(real ? kg_clamp_s32(v, -128, 127) : (((v & 255) ^ 128) - 128)); break;
    case KG_CAST_U8: ((int8_t *)y)[i] = (int8_t)((real ? kg_clamp_s32(v, 0, 255) : v & 255) - 128); break;
    case KG_CAST_S16:
      ((int16_t *)y)[i] = (int16_t)(real ? kg_clamp_s32(v, -32768, 32767) : (((v & 65535) ^ 32768) - 32768));
      break;
    case KG_CAST_S32: ((int32_t *)y)[i] = v; break;
    default: ((float *)y)[i] = (float)v;
    }
  }
}
