#include "concatenation.h"

void kg_concatenation_ref_s8(const kg_concatenation_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int8_t *table = (const int8_t *)kg_in(mem, a->table);
  int8_t *y = (int8_t *)kg_out(mem, a->y) + a->offset;
  for (int32_t o = 0; o < a->outer; ++o) {
    for (int32_t i = 0; i < a->chunk; ++i) y[o * a->stride + i] = table ? table[x[i] + 128] : x[i];
    x += a->chunk;
  }
}
