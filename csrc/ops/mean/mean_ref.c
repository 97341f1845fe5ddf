#include "mean.h"

#include "../../common/output.h"

void kg_mean_ref_s8(const kg_mean_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const kg_reduce r = kg_reduce_begin(&a->shape);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, -128, 127);
  for (int32_t o = 0; o < r.outputs; ++o)
    kg_output_put(&out, kg_requantize(kg_reduce_sum(&r, o, x, a->x_zero), a->multiplier, a->shift));
  kg_output_end(&out);
}
