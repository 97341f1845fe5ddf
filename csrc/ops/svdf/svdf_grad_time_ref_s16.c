#include "svdf.h"

enum { TIME_LIMIT = INT16_MAX };

/* Sum over the batch of the error of filter `f` times its place `m` of the state. */
static int32_t gradient(const kg_svdf_grad_time_args *a, const int8_t *gy, const int16_t *state, int32_t f, int32_t m) {
  const int32_t filters = a->units * a->rank;
  int32_t acc = 0;
  for (int32_t b = 0; b < a->batch; ++b) acc += gy[b * a->units + f / a->rank] * state[(b * filters + f) * a->memory + m];
  return acc;
}

void kg_svdf_grad_time_ref_s16(const kg_svdf_grad_time_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int16_t *state = (const int16_t *)kg_in(mem, a->state);
  int16_t *time = (int16_t *)kg_out(mem, a->time);
  int32_t *pending = (int32_t *)kg_out(mem, a->update.pending);
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, a->update.train);
  const uint32_t start = kg_random_start(train->seed, train->step, a->update.tensor);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);

  for (int32_t f = 0; f < a->units * a->rank; ++f) {
    const kg_rate rate = kg_update_rate(mem, &a->update, f, e);
    if (rate.mantissa == 0) continue;
    for (int32_t m = 0; m < a->memory; ++m) {
      const int32_t i = f * a->memory + m;
      const int64_t step = kg_update_step(gradient(a, gy, state, f, m), rate, KG_BIAS_FRACTION);
      if (pending) {
        kg_update_defer(pending, i, step);
        continue;
      }
      const uint32_t random = kg_random_at(start, (uint32_t)i);
      const int64_t v = kg_update_round(time[i], step, KG_BIAS_FRACTION, a->update.rounding, random);
      time[i] = (int16_t)(v > TIME_LIMIT ? TIME_LIMIT : v < -TIME_LIMIT ? -TIME_LIMIT : v);
    }
  }
}
