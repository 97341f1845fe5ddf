#include "gather.h"

/* A span of the two lists: which rows and columns of gy were taken from one place. */
typedef struct kg_gather_taken {
  const int32_t *row, *column;
  int32_t rows, columns;
} kg_gather_taken;

static int32_t taken_sum(const int8_t *gy, const kg_gather_shape *s, const kg_gather_taken *t) {
  int32_t sum = 0;
  for (int32_t i = 0; i < t->rows; ++i)
    for (int32_t j = 0; j < t->columns; ++j) sum += gy[(t->row[i] * s->result_columns + t->column[j]) * s->inner];
  return sum;
}

void kg_gather_grad_ref_s8(const kg_gather_grad_args *a, const kg_memory *mem) {
  const kg_gather_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int32_t *row_first = (const int32_t *)kg_in(mem, a->row_first), *row_list = (const int32_t *)kg_in(mem, a->row_list);
  const int32_t *column_first = (const int32_t *)kg_in(mem, a->column_first);
  const int32_t *column_list = (const int32_t *)kg_in(mem, a->column_list);
  kg_error_writer out = kg_error_begin(mem, &a->gx, kg_error_exponent(mem, a->gy_exponent));
  int32_t index = 0;
  for (int32_t o = 0; o < s->outer; ++o) {
    const int8_t *plane = gy + o * s->result_rows * s->result_columns * s->inner;
    for (int32_t r = 0; r < s->rows; ++r) {
      for (int32_t q = 0; q < s->columns; ++q) {
        const kg_gather_taken taken = {row_list + row_first[r], column_list + column_first[q], row_first[r + 1] - row_first[r],
                                       column_first[q + 1] - column_first[q]};
        for (int32_t k = 0; k < s->inner; ++k) kg_error_put(&out, index++, taken_sum(plane + k, s, &taken));
      }
    }
  }
  kg_error_end(&out);
}
