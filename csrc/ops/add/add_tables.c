#include "../../common/output.h"
#include "add.h"

void kg_add_tables_s8(const kg_add_tables_args *a, const kg_memory *mem) {
  const kg_broadcast *s = &a->of.shape;
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->of.x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->of.x2);
  const int32_t *first = (const int32_t *)kg_in(mem, a->tables) + 128, *second = first + 256;
  kg_output out = kg_output_begin(mem, a->of.y, a->of.mask, a->of.y_zero, a->of.y_min, a->of.y_max);
  for (kg_rows at = kg_rows_begin(s); at.left > 0; kg_rows_next(&at)) {
    const int8_t *p = x1 + at.a, *q = x2 + at.b;
    for (int32_t i = 0; i < s->size_3; ++i, p += s->a_3, q += s->b_3)
      kg_output_put(&out, kg_requantize(kg_add_wrap(first[*p], second[*q]), a->multiplier, a->shift));
  }
  kg_output_end(&out);
}
