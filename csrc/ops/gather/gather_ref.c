#include "gather.h"

#include <string.h>

void kg_gather_ref_any(const kg_gather_args *a, const kg_memory *mem) {
  const kg_gather_shape *s = &a->shape;
  const uint8_t *x = (const uint8_t *)kg_in(mem, a->x);
  const int32_t *row = (const int32_t *)kg_in(mem, a->row);
  const int32_t *column = (const int32_t *)kg_in(mem, a->column);
  uint8_t *y = (uint8_t *)kg_out(mem, a->y);
  for (int32_t o = 0; o < s->outer; ++o) {
    for (int32_t i = 0; i < s->result_rows; ++i) {
      const uint8_t *line = x + (o * s->rows + row[i]) * s->columns * s->inner;
      for (int32_t j = 0; j < s->result_columns; ++j) {
        memcpy(y, line + column[j] * s->inner, (size_t)s->inner);
        y += s->inner;
      }
    }
  }
}
