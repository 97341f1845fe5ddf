#include "svdf.h"

enum { FOLD_SHIFT = 6 }; /* 8 + 16 + 15 bits of a product fit 32 */

void kg_svdf_grad_newest_ref_s16(const kg_svdf_grad_newest_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int16_t *time = (const int16_t *)kg_in(mem, a->time);
  const int16_t *state = (const int16_t *)kg_in(mem, a->state);
  const int32_t newest = a->memory - 1, filters = a->units * a->rank;
  const int32_t e = kg_error_exponent(mem, a->gy_exponent) - a->fold_exponent + FOLD_SHIFT;
  kg_error_writer w = kg_error_begin(mem, &a->gx, e);

  for (int32_t i = 0; i < a->batch * filters; ++i) {
    const int32_t f = i % filters;
    const int16_t s = state[i * a->memory + newest];
    int64_t acc = 0;
    if (s > -INT16_MAX && s < INT16_MAX) acc = (int64_t)(gy[i / a->rank] * time[f * a->memory + newest]) * a->fold;
    kg_error_put(&w, i, (int32_t)kg_round_shr_s64(acc, FOLD_SHIFT));
  }
  kg_error_end(&w);
}
