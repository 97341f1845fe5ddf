#include "prelu.h"

#include "../../common/output.h"

void kg_prelu_ref_s8(const kg_prelu_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int8_t *alpha = (const int8_t *)kg_in(mem, a->alpha);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, -128, 127);
  int32_t c = 0;
  for (int32_t i = 0; i < a->count; ++i) {
    const int32_t d = x[i] - a->x_zero;
    kg_output_put(&out, d < 0 ? kg_requantize(d * (alpha[c] - a->alpha_zero), a->alpha_multiplier, a->alpha_shift)
                              : kg_requantize(d, a->multiplier, a->shift));
    c = c + 1 == a->period ? 0 : c + 1;
  }
  kg_output_end(&out);
}
