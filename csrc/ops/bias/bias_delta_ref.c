#include "bias.h"

void kg_bias_delta_ref_s16(const kg_bias_delta_args *a, const kg_memory *mem) {
  const int32_t *b0 = (const int32_t *)kg_in(mem, a->b0);
  const int16_t *delta = (const int16_t *)kg_in(mem, a->delta);
  int32_t *b = (int32_t *)kg_out(mem, a->b);
  for (int32_t c = 0; c < a->channels; ++c) b[c] = kg_add_wrap(b0[c], kg_shl_s32(delta[c], a->u));
}
