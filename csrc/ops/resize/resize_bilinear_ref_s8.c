#include "resize.h"

void kg_resize_bilinear_ref_s8(const kg_resize_bilinear_args *a, const kg_memory *mem) {
  const kg_resize_shape *s = &a->shape;
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  for (int32_t b = 0; b < s->batch; ++b) {
    for (int32_t i = 0; i < s->result_rows; ++i) {
      const kg_resize_point row = kg_resize_at(i, s->row_scale, s->row_offset, s->rows);
      for (int32_t j = 0; j < s->result_columns; ++j) {
        const kg_resize_corners k = kg_resize_around(s, b, row, kg_resize_at(j, s->column_scale, s->column_offset, s->columns));
        for (int32_t c = 0; c < s->channels; ++c) {
          int32_t sum = 0;
          for (int32_t n = 0; n < 4; ++n) sum += x[k.place[n] + c] * k.weight[n];
          *y++ = (int8_t)kg_resize_round(sum);
        }
      }
    }
  }
}
