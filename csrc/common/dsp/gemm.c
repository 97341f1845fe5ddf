#include "gemm.h"

#include "simd.h"

#if !KG_DSP

static int8_t result(int32_t sum, const uint32_t *scaling, int32_t form) {
  const int32_t rectified = form == KG_GEMM_RECTIFIED || form >= KG_GEMM_RECTIFIED_11, fixed = form == KG_GEMM_SIGNED_14;
  const uint32_t fall = sum >= 0 || rectified ? 0 : fixed ? scaling[2] : scaling[2] >> 8, shift = fixed ? 14 : scaling[2] & 31u;
  const int32_t v = kg_smmla(sum, (int32_t)scaling[0], (int32_t)(scaling[1] - fall)) >> shift;
  return (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v);
}

static const uint32_t *begin(const kg_gemm *g, const uint32_t *words, const int32_t *kept, int32_t sums[2][4], int32_t pixels) {
  for (int32_t c = 0; c < 2; ++c)
    for (int32_t p = 0; p < pixels; ++p) sums[c][p] = g->resume ? kept[4 * c + p] : (int32_t)words[c];
  return g->resume ? words : words + 2;
}

static void tile(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g, int32_t pixels) {
  const uint32_t *words = (const uint32_t *)stream, *end = words + g->bytes / 4;
  int32_t *kept = g->sums;
  for (; words < end; y += 2, kept += 8) {
    int32_t sums[2][4] = {{0}};
    words = begin(g, words, kept, sums, pixels);
    for (int32_t pair = 0; pair < g->pairs; ++pair, ++words) {
      for (int32_t p = 0; p < pixels; ++p) {
        const uint32_t inputs = x[pair * pixels + p];
        sums[0][p] = kg_smlad(inputs, kg_sxtb16(*words), sums[0][p]);
        sums[1][p] = kg_smlad(inputs, kg_sxtb16_ror8(*words), sums[1][p]);
      }
    }
    if (g->form == KG_GEMM_KEEP) {
      for (int32_t i = 0; i < 8; ++i) kept[i] = sums[i / 4][i % 4];
      continue;
    }
    for (int32_t c = 0; c < 2; ++c, words += 3)
      for (int32_t p = 0; p < pixels; ++p) y[p * g->y_stride + c] = result(sums[c][p], words, g->form);
  }
}

void kg_gemm2x4_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g) { tile(x, stream, y, g, 4); }

void kg_gemm2x1_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g) { tile(x, stream, y, g, 1); }

static uint32_t *expand(uint32_t *x, const int8_t *const *from, const kg_rows *r, int32_t pixels) {
  for (int32_t row = 0; row < r->rows; ++row) {
    for (int32_t i = 0; i < r->fours; ++i) {
      for (int32_t p = 0; p < pixels; ++p) {
        const uint32_t four = kg_load_u32(from[p] + row * r->step + 4 * i);
        x[p] = (four << 8) & 0xFF00FF00u;
        x[pixels + p] = four & 0xFF00FF00u;
      }
      x += 2 * pixels;
    }
  }
  return x;
}

uint32_t *kg_expand4_s8(uint32_t *x, const int8_t *const *pixels, const kg_rows *r) { return expand(x, pixels, r, 4); }

uint32_t *kg_expand1_s8(uint32_t *x, const int8_t *const *pixels, const kg_rows *r) { return expand(x, pixels, r, 1); }

#endif
