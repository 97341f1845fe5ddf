#include "slice.h"

#include <string.h>

void kg_slice_ref_s8(const kg_slice_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x) + a->offset;
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  for (int32_t o = 0; o < a->outer; ++o) memcpy(y + o * a->chunk, x + o * a->stride, (size_t)a->chunk);
}
