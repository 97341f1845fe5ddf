#include <string.h>

#include "../../common/bits.h"
#include "../../common/dsp/simd.h"
#include "clamp_grad.h"

/* Four bits as four bytes of ones or zeros, the lowest first. */
static uint32_t spread(uint32_t bits) { return (bits * 0x00204081u & 0x01010101u) * 255u; }

void kg_clamp_grad_dsp_s8(const kg_clamp_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const uint8_t *mask = (const uint8_t *)kg_in(mem, a->mask);
  int8_t *gx = (int8_t *)kg_out(mem, a->gx);
  int32_t i = 0;
  for (; i + 8 <= a->count; i += 8) {
    const uint32_t bits = mask[i / 8];
    const uint32_t low = kg_load_u32(gy + i) & spread(bits & 15u), high = kg_load_u32(gy + i + 4) & spread(bits >> 4);
    memcpy(gx + i, &low, 4);
    memcpy(gx + i + 4, &high, 4);
  }
  for (; i < a->count; ++i) gx[i] = kg_bits_get(mask, i) ? gy[i] : 0;
}
