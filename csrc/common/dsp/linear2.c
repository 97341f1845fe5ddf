#include "linear2.h"

#include "../fixed_point.h"
#include "simd.h"

#if !KG_DSP

void kg_linear2_s8(const int8_t *x1, const int8_t *x2, int8_t *y, int32_t count, const kg_linear2 *f) {
  const kg_linear2 k = *f; /* y may not change it */
  for (int32_t i = 0; i < count; ++i) y[i] = (int8_t)kg_clamp_s32(kg_linear2_value(&k, x1[i], x2[i]), -128, 127);
}

#endif
