#include "gemm.h"

#include "simd.h"

#if !KG_DSP

static int8_t result(int32_t sum, const uint32_t *scaling, int32_t rectified) {
  const int32_t t = kg_smmla(sum, (int32_t)scaling[0], rectified ? 0 : 64);
  const int32_t v = (int32_t)((uint32_t)t + scaling[1] - (!rectified && t < 0 ? 128u : 0u)) >> (scaling[2] & 31u);
  return (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v);
}

/* Any tile: `channels` (2 or 4) times `pixels`. */
static void tile(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g, int32_t channels, int32_t pixels) {
  const uint32_t *words = (const uint32_t *)stream;
  for (int32_t group = 0; group < g->groups; ++group, y += channels) {
    int32_t sums[4][4];
    for (int32_t c = 0; c < channels; ++c, ++words)
      for (int32_t p = 0; p < pixels; ++p) sums[c][p] = (int32_t)*words;
    for (int32_t pair = 0; pair < 4 * g->steps; ++pair) {
      for (int32_t c = 0; c < channels; c += 2, ++words) {
        for (int32_t p = 0; p < pixels; ++p) {
          const uint32_t inputs = x[pair * pixels + p];
          sums[c][p] = kg_smlad(inputs, kg_sxtb16(*words), sums[c][p]);
          sums[c + 1][p] = kg_smlad(inputs, kg_sxtb16_ror8(*words), sums[c + 1][p]);
        }
      }
    }
    for (int32_t c = 0; c < channels; ++c, words += 3)
      for (int32_t p = 0; p < pixels; ++p) y[p * g->y_stride + c] = result(sums[c][p], words, g->rectified);
  }
}

void kg_gemm2x4_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g) { tile(x, stream, y, g, 2, 4); }

void kg_gemm4x2_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g) { tile(x, stream, y, g, 4, 2); }

static uint32_t *expand(uint32_t *x, const int8_t *const *from, int32_t fours, int32_t pixels) {
  for (int32_t i = 0; i < 4 * fours; i += 4) {
    for (int32_t p = 0; p < pixels; ++p) {
      const uint32_t four = kg_load_u32(from[p] + i);
      x[p] = (four << 8) & 0xFF00FF00u;
      x[pixels + p] = four & 0xFF00FF00u;
    }
    x += 2 * pixels;
  }
  return x;
}

uint32_t *kg_expand4_s8(uint32_t *x, const int8_t *const *pixels, int32_t fours) { return expand(x, pixels, fours, 4); }

uint32_t *kg_expand2_s8(uint32_t *x, const int8_t *const *pixels, int32_t fours) { return expand(x, pixels, fours, 2); }

#endif
