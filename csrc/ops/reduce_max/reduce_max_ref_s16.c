#include "reduce_max.h"

#include "../../common/bits.h"

/* Position of the first best element of a group. */
static int32_t best(const kg_reduce *r, int32_t output, const int16_t *x, int32_t minimum) {
  kg_group g = kg_group_begin(r, output);
  int32_t at = g.at;
  for (; g.left > 0; kg_group_next(&g))
    if (minimum ? x[g.at] < x[at] : x[g.at] > x[at]) at = g.at;
  return at;
}

void kg_reduce_max_ref_s16(const kg_reduce_max_args *a, const kg_memory *mem) {
  const int16_t *x = (const int16_t *)kg_in(mem, a->x);
  int16_t *y = (int16_t *)kg_out(mem, a->y);
  uint8_t *winner = (uint8_t *)kg_out(mem, a->winner);
  const kg_reduce r = kg_reduce_begin(&a->shape);
  if (winner != NULL) kg_bits_clear(winner, a->shape.d0 * a->shape.d1 * a->shape.d2 * a->shape.d3);
  for (int32_t o = 0; o < r.outputs; ++o) {
    const int32_t at = best(&r, o, x, a->minimum);
    y[o] = x[at];
    if (winner != NULL) kg_bits_set(winner, at);
  }
}
