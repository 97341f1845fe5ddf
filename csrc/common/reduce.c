#include "reduce.h"

kg_reduce_sizes kg_check_reduce(kg_check *c, const kg_reduce_shape *s) {
  const int32_t dim[4] = {s->d0, s->d1, s->d2, s->d3};
  const int32_t over[4] = {s->over0, s->over1, s->over2, s->over3};
  kg_reduce_sizes n = {1, 1};
  for (int32_t i = 0; i < 4; ++i) {
    kg_check_range(c, dim[i], 1, 1 << 24);
    kg_check_range(c, over[i], 0, 1);
    n.inputs = kg_check_mul(c, n.inputs, dim[i]);
    if (!over[i]) n.outputs = kg_check_mul(c, n.outputs, dim[i]);
  }
  if (c->ok) kg_check_range(c, n.inputs / n.outputs, 1, 1 << 23); /* the sum of 2^23 differences of 255 fits an int32 */
  return n;
}
