#include "../../common/output.h"
#include "add_value.h"

void kg_add_ref_s8(const kg_add_args *a, const kg_memory *mem) {
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->of.x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->of.x2);
  kg_output out = kg_output_begin(mem, a->of.y, a->of.mask, a->of.y_zero, a->of.y_min, a->of.y_max);
  for (kg_pair p = kg_pair_begin(&a->of.shape); kg_pair_more(&p); kg_pair_next(&p))
    kg_output_put(&out, kg_add_value(a, x1[p.a], x2[p.b]));
  kg_output_end(&out);
}
