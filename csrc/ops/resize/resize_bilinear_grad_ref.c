#include "resize.h"

/* The results [first, end) that may have read row (or column) `index`. */
typedef struct kg_resize_span {
  int32_t first, end;
} kg_resize_span;

static kg_resize_span readers(int32_t index, int32_t size, int32_t results, int32_t scale, int32_t offset) {
  kg_resize_span s = {0, results};
  if (scale > 0 && index > 0) s.first = kg_clamp_s32((((index - 1) << 10) - offset) / scale, 0, results);
  if (scale > 0 && index < size - 1) s.end = kg_clamp_s32((((index + 1) << 10) - offset) / scale + 1, 0, results);
  return s;
}

static int32_t weight(int32_t index, kg_resize_point p) {
  return (p.lower == index ? 1024 - p.weight : 0) + (p.upper == index ? p.weight : 0);
}

static int64_t weighted(const kg_resize_shape *s, const int8_t *gy, int32_t r, int32_t q, kg_resize_span rows,
                        kg_resize_span columns) {
  int64_t sum = 0;
  for (int32_t i = rows.first; i < rows.end; ++i) {
    const int32_t wr = weight(r, kg_resize_at(i, s->row_scale, s->row_offset, s->rows));
    if (wr == 0) continue;
    for (int32_t j = columns.first; j < columns.end; ++j) {
      const int32_t wq = weight(q, kg_resize_at(j, s->column_scale, s->column_offset, s->columns));
      sum += (int64_t)(wr * wq) * gy[(i * s->result_columns + j) * s->channels];
    }
  }
  return sum;
}

void kg_resize_bilinear_grad_ref_s8(const kg_resize_bilinear_grad_args *a, const kg_memory *mem) {
  const kg_resize_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int64_t half = a->shift > 0 ? (int64_t)1 << (a->shift - 1) : 0;
  kg_error_writer out = kg_error_begin(mem, &a->gx, kg_error_exponent(mem, a->gy_exponent) + a->shift - 20);
  int32_t index = 0;
  for (int32_t b = 0; b < s->batch; ++b, gy += s->result_rows * s->result_columns * s->channels) {
    for (int32_t r = 0; r < s->rows; ++r) {
      const kg_resize_span rows = readers(r, s->rows, s->result_rows, s->row_scale, s->row_offset);
      for (int32_t q = 0; q < s->columns; ++q) {
        const kg_resize_span columns = readers(q, s->columns, s->result_columns, s->column_scale, s->column_offset);
        for (int32_t c = 0; c < s->channels; ++c)
          kg_error_put(&out, index++, kg_sat_s32((weighted(s, gy + c, r, q, rows, columns) + half) >> a->shift));
      }
    }
  }
  kg_error_end(&out);
}
