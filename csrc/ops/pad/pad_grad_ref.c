#include "pad.h"

#include <string.h>

void kg_pad_grad_ref_s8(const kg_pad_grad_args *a, const kg_memory *mem) {
  const kg_pad_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  int8_t *gx = (int8_t *)kg_out(mem, a->gx);
  for (int32_t i = 0; i < s->d0; ++i) {
    for (int32_t j = 0; j < s->d1; ++j) {
      for (int32_t k = 0; k < s->d2; ++k) {
        const int32_t line = ((i + s->b0) * s->n1 + j + s->b1) * s->n2 + k + s->b2;
        memcpy(gx, gy + line * s->n3 + s->b3, (size_t)s->d3);
        gx += s->d3;
      }
    }
  }
}
