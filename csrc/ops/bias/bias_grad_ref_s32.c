#include "bias_grad.h"

void kg_bias_grad_ref_s32(const kg_bias_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int32_t e = ((const kg_exponent *)kg_in(mem, a->gy_exponent))->e;
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, a->update.train);
  const uint32_t start = kg_random_start(train->seed, train->step, a->update.tensor);
  int32_t *bias = (int32_t *)kg_out(mem, a->bias);
  int32_t *pending = (int32_t *)kg_out(mem, a->update.pending);

  for (int32_t c = 0; c < a->channels; c += KG_BIAS_BLOCK) {
    const int32_t n = a->channels - c < KG_BIAS_BLOCK ? a->channels - c : KG_BIAS_BLOCK;
    int32_t acc[KG_BIAS_BLOCK];
    kg_bias_sum(gy, a->pixels, a->channels, c, n, acc);
    for (int32_t i = c; i < c + n; ++i) {
      const kg_rate rate = kg_update_rate(mem, &a->update, i, e);
      if (rate.mantissa == 0) continue;
      const int64_t step = kg_update_step(acc[i - c], rate, KG_BIAS_FRACTION);
      if (pending)
        kg_update_defer(pending, i, step);
      else
        bias[i] = kg_bias_step(a, start, i, bias[i], step);
    }
  }
}
