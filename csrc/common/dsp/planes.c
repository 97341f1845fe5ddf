#include "planes.h"

#include "simd.h"

#if !KG_DSP

static int32_t multiply_add(int32_t acc, int32_t a, int32_t b) { return (int32_t)((uint32_t)acc + (uint32_t)(a * b)); }

void kg_planes_row(const uint8_t *plane, const uint8_t *weights, int32_t *sums, const kg_taps *spans, const int32_t *start,
                   const kg_planes *p) {
  for (int32_t column = 0; column < p->columns; ++column, ++spans, sums += p->sums_step / 4) {
    for (int32_t c = 0; c < 4; ++c) sums[c] = start[c];
    for (int32_t row = 0; row < p->rows; ++row) {
      const uint8_t *x = plane + spans->x + row * p->plane_row, *w = weights + spans->w + row * p->weight_row;
      for (int32_t tap = 0; tap < spans->taps; ++tap, x += KG_PLANES_TAP, w += KG_PLANES_TAP) {
        const uint32_t x02 = kg_load_u32(x), x13 = kg_load_u32(x + 4), w02 = kg_load_u32(w), w13 = kg_load_u32(w + 4);
        sums[0] = multiply_add(sums[0], kg_low(x02), kg_low(w02));
        sums[1] = multiply_add(sums[1], kg_low(x13), kg_low(w13));
        sums[2] = multiply_add(sums[2], kg_high(x02), kg_high(w02));
        sums[3] = multiply_add(sums[3], kg_high(x13), kg_high(w13));
      }
    }
  }
}

#endif
