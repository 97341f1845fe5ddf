#include "pad.h"

#include <string.h>

/* One line (innermost axis): border, inner part, border. */
static int8_t *pad_line(int8_t *y, const int8_t *x, const kg_pad_shape *s, int32_t value) {
  memset(y, value, (size_t)s->b3);
  memcpy(y + s->b3, x, (size_t)s->d3);
  memset(y + s->b3 + s->d3, value, (size_t)(s->n3 - s->b3 - s->d3));
  return y + s->n3;
}

void kg_pad_ref_s8(const kg_pad_args *a, const kg_memory *mem) {
  const kg_pad_shape *s = &a->shape;
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  for (int32_t i = 0; i < s->n0; ++i) {
    for (int32_t j = 0; j < s->n1; ++j) {
      for (int32_t k = 0; k < s->n2; ++k) {
        if (i >= s->b0 && i < s->b0 + s->d0 && j >= s->b1 && j < s->b1 + s->d1 && k >= s->b2 && k < s->b2 + s->d2) {
          y = pad_line(y, x, s, a->value);
          x += s->d3;
        } else {
          memset(y, a->value, (size_t)s->n3);
          y += s->n3;
        }
      }
    }
  }
}
