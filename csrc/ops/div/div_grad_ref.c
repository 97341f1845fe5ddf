#include "div.h"

void kg_div_grad_ref_s8(const kg_div_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *other = (const int8_t *)kg_in(mem, a->other);
  const int32_t *table = (const int32_t *)kg_in(mem, a->table);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e - a->table_exponent);
  for (kg_pair p = kg_pair_begin(&a->shape); kg_pair_more(&p); kg_pair_next(&p))
    kg_error_put(&out, p.index, gy[p.index] * table[other[p.b] + 128]);
  kg_error_end(&out);
}
