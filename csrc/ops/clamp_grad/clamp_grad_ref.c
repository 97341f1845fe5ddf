#include "clamp_grad.h"

#include "../../common/bits.h"

void kg_clamp_grad_ref_s8(const kg_clamp_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const uint8_t *mask = (const uint8_t *)kg_in(mem, a->mask);
  int8_t *gx = (int8_t *)kg_out(mem, a->gx);
  for (int32_t i = 0; i < a->count; ++i) gx[i] = kg_bits_get(mask, i) ? gy[i] : 0;
}
