#include "svdf_rows.h"

void kg_svdf_ref_s8_s16(const kg_svdf_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int8_t *feature = (const int8_t *)kg_in(mem, a->feature);
  const int16_t *time = (const int16_t *)kg_in(mem, a->time);
  const int32_t *bias = (const int32_t *)kg_in(mem, a->bias);
  int16_t *state = (int16_t *)kg_out(mem, a->state);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, a->y_min, a->y_max);
  const int32_t memory = a->memory;

  for (int32_t b = 0; b < a->batch; ++b, x += a->in) {
    for (int32_t u = 0; u < a->units; ++u) {
      uint32_t acc = bias ? (uint32_t)bias[u] : 0;
      for (int32_t f = u * a->rank; f < (u + 1) * a->rank; ++f, state += memory) {
        const int16_t *w = time + f * memory;
        for (int32_t m = 0; m < memory - 1; ++m) {
          state[m] = state[m + 1];
          acc += (uint32_t)w[m] * (uint32_t)(state[m] - a->state_zero);
        }
        state[memory - 1] = (int16_t)kg_svdf_newest(a, feature, x, f, INT16_MIN, INT16_MAX);
        acc += (uint32_t)w[memory - 1] * (uint32_t)(state[memory - 1] - a->state_zero);
      }
      kg_svdf_put(a, &out, acc);
    }
  }
  kg_output_end(&out);
}
