#include "sums.h"

#include "simd.h"

#if !KG_DSP

void kg_sums2x4(const uint32_t *pairs, const uint32_t *end, const void *weights, int32_t *sums, const kg_sums *s) {
  const uint8_t *w = (const uint8_t *)weights;
  const int32_t row = s->row_bytes / 4;
  for (int32_t group = 0; group < s->groups; ++group, w += s->group_bytes, sums += 2) {
    for (const uint32_t *block = pairs; block != end; block += KG_SUMS_BLOCK) {
      const uint32_t word = kg_load_u32(w + block[2]);
      const uint32_t first = kg_sxtb16(word), second = kg_sxtb16_ror8(word);
      for (int32_t p = 0; p < KG_SUMS_PIXELS; ++p) {
        const uint32_t x = block[p < 2 ? p : p + 1];
        int32_t *to = sums + p * row;
        to[0] = kg_smlad(x, first, to[0]);
        to[1] = kg_smlad(x, second, to[1]);
      }
    }
  }
}

/* Keep a block unless all its pixels are zero. */
static uint32_t *keep(uint32_t *block, int32_t offset) {
  block[2] = (uint32_t)offset;
  return block[0] | block[1] | block[3] | block[4] ? block + KG_SUMS_BLOCK : block;
}

uint32_t *kg_sums_inputs(uint32_t *to, const int8_t *const *pixels, int32_t fours, int32_t zero, int32_t offset) {
  for (int32_t i = 0; i < 4 * fours; i += 4) {
    for (int32_t pair = 0; pair < 2; ++pair, offset += 4) {
      for (int32_t p = 0; p < KG_SUMS_PIXELS; ++p)
        to[p < 2 ? p : p + 1] = kg_pair(pixels[p][i + pair] + zero, pixels[p][i + pair + 2] + zero);
      to = keep(to, offset);
    }
  }
  return to;
}

uint32_t *kg_sums_errors(uint32_t *to, const int8_t *const *pixels, int32_t fours, const uint32_t *fold, const kg_sums_fold *f) {
  int32_t offset = f->offset;
  for (int32_t i = 0; i < 4 * fours; i += 4) {
    for (int32_t pair = 0; pair < 2; ++pair, offset += 4, ++fold) {
      uint32_t some = 0;
      for (int32_t p = 0; p < KG_SUMS_PIXELS; ++p) {
        const int32_t a = pixels[p][i + pair], b = pixels[p][i + pair + 2];
        to[p < 2 ? p : p + 1] = kg_pair((a * kg_low(*fold) + f->half) >> f->shift, (b * kg_high(*fold) + f->half) >> f->shift);
        some |= (uint32_t)a | (uint32_t)b;
      }
      to[2] = (uint32_t)offset;
      if (some) to += KG_SUMS_BLOCK;
    }
  }
  return to;
}

void kg_sums_results(const int32_t *sums, const int32_t *scaling, int8_t *y, uint8_t *mask, const kg_sums_clamp *c) {
  const int32_t most = 1 << (KG_SUMS_SUM_LIMIT - 1);
  for (int32_t i = 0; i < 8 * c->eights; ++i, scaling += 3) {
    const int32_t sum = sums[i] < -most ? -most : sums[i] > most - 1 ? most - 1 : sums[i];
    const int32_t t = kg_smmla(sum * 256, scaling[0], 64);
    const int32_t v = (int32_t)((uint32_t)t + (uint32_t)scaling[1] - (t < 0 ? 128u : 0u)) >> (scaling[2] & 31);
    const int32_t q = v < 0 ? 0 : v > c->range ? c->range : v;
    y[i] = (int8_t)(q + c->low);
    if (!mask) continue;
    if (i % 8 == 0) mask[i / 8] = 0;
    if (q == v) mask[i / 8] = (uint8_t)(mask[i / 8] | 1 << i % 8);
  }
}

#endif
