#include "add_value.h"

void kg_add_ref_s16(const kg_add_args *a, const kg_memory *mem) {
  const int16_t *x1 = (const int16_t *)kg_in(mem, a->of.x1);
  const int16_t *x2 = (const int16_t *)kg_in(mem, a->of.x2);
  int16_t *y = (int16_t *)kg_out(mem, a->of.y);
  for (kg_pair p = kg_pair_begin(&a->of.shape); kg_pair_more(&p); kg_pair_next(&p))
    y[p.index] = (int16_t)kg_clamp_s32(kg_add_value(a, x1[p.a], x2[p.b]), a->of.y_min, a->of.y_max);
}
