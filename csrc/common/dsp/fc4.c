#include "fc4.h"

#include "simd.h"

#if !KG_DSP

static int32_t saturate_s8(int32_t v) { return v < -128 ? -128 : v > 127 ? 127 : v; }

void kg_fc4_s8(const uint32_t *x, const void *stream, int8_t *y, int32_t steps, int32_t groups) {
  const uint32_t *words = (const uint32_t *)stream;
  for (int32_t g = 0; g < groups; ++g) {
    int32_t acc[4];
    for (int32_t i = 0; i < 4; ++i) acc[i] = (int32_t)*words++;
    for (int32_t q = 0; q < 4 * steps; ++q) {
      for (int32_t i = 0; i < 4; ++i, ++words) {
        acc[i] = kg_smlad(kg_sxtb16(*words), x[2 * q], acc[i]);
        acc[i] = kg_smlad(kg_sxtb16_ror8(*words), x[2 * q + 1], acc[i]);
      }
    }
    for (int32_t i = 0; i < 4; ++i, words += 3)
      *y++ = (int8_t)saturate_s8(kg_smmla(acc[i], (int32_t)words[0], (int32_t)words[1]) >> (words[2] & 31u));
  }
}

#endif
