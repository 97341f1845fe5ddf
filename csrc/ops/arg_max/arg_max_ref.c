#include "arg_max.h"

#include <string.h>

void kg_arg_max_ref_s8(const kg_arg_max_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  uint8_t *y = (uint8_t *)kg_out(mem, a->y);
  for (int32_t o = 0; o < a->outer; ++o)
    for (int32_t i = 0; i < a->inner; ++i) {
      const int8_t *p = x + o * a->axis * a->inner + i;
      int32_t best = 0;
      for (int32_t k = 1; k < a->axis; ++k) {
        const int32_t value = p[k * a->inner], so_far = p[best * a->inner];
        if (a->minimum ? value < so_far : value > so_far) best = k;
      }
      const int64_t wide = best;
      memcpy(y, a->wide ? (const void *)&wide : (const void *)&best, a->wide ? 8 : 4);
      y += a->wide ? 8 : 4;
    }
}
