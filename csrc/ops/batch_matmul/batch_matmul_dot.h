/* What the forward and the backward kernel share: one sum of products, and the walk over the results. */
#ifndef KG_OPS_BATCH_MATMUL_DOT_H
#define KG_OPS_BATCH_MATMUL_DOT_H

#include "batch_matmul.h"

static inline int32_t kg_batch_matmul_results(const kg_batch_matmul_shape *s) {
  return s->batch_0 * s->batch_1 * s->rows * s->columns;
}

/* The sum of result `index` (linear). */
static inline int32_t kg_batch_matmul_dot(const kg_batch_matmul_shape *s, const int8_t *a, const int8_t *b, int32_t a_zero,
                                          int32_t b_zero, int32_t index) {
  const int32_t column = index % s->columns, row = index / s->columns % s->rows;
  const int32_t batch = index / s->columns / s->rows, j = batch % s->batch_1, i = batch / s->batch_1;
  a += i * s->a_batch_0 + j * s->a_batch_1 + row * s->a_row + column * s->a_column;
  b += i * s->b_batch_0 + j * s->b_batch_1 + row * s->b_row + column * s->b_column;
  int32_t acc = 0;
  for (int32_t u = 0; u < s->sum_0; ++u)
    for (int32_t v = 0; v < s->sum_1; ++v) {
      const int8_t *p = a + u * s->a_sum_0 + v * s->a_sum_1;
      const int8_t *q = b + u * s->b_sum_0 + v * s->b_sum_1;
      for (int32_t k = 0; k < s->inner; ++k) acc += (p[k * s->a_inner] - a_zero) * (q[k * s->b_inner] - b_zero);
    }
  return acc;
}

#endif
