#include "average_pool2d.h"

/* acc[c] += gy[c] / count of one window */
static void add_window(const kg_average_pool2d_grad_args *a, const int8_t *gy, int32_t oy, int32_t ox, int32_t *acc) {
  const kg_pool2d_shape *s = &a->shape;
  const kg_span rows = kg_pool_inputs(oy, s->stride_h, s->pad_top, s->k_h, s->in_h);
  const kg_span cols = kg_pool_inputs(ox, s->stride_w, s->pad_left, s->k_w, s->in_w);
  const int32_t count = (rows.end - rows.first) * (cols.end - cols.first);
  const int32_t reciprocal = (((int32_t)1 << a->shift) + count / 2) / count;
  const int8_t *g = gy + (oy * s->out_w + ox) * s->channels;
  for (int32_t c = 0; c < s->channels; ++c) acc[c] += g[c] * reciprocal;
}

void kg_average_pool2d_grad_ref_s8(const kg_average_pool2d_grad_args *a, const kg_memory *mem) {
  const kg_pool2d_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  int32_t *acc = (int32_t *)kg_out(mem, a->scratch);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e - a->shift);

  for (int32_t iy = 0; iy < s->in_h; ++iy) {
    const kg_span rows = kg_pool_outputs(iy, s->stride_h, s->pad_top, s->k_h, s->out_h);
    for (int32_t ix = 0; ix < s->in_w; ++ix) {
      const kg_span cols = kg_pool_outputs(ix, s->stride_w, s->pad_left, s->k_w, s->out_w);
      for (int32_t c = 0; c < s->channels; ++c) acc[c] = 0;
      for (int32_t oy = rows.first; oy < rows.end; ++oy)
        for (int32_t ox = cols.first; ox < cols.end; ++ox) add_window(a, gy, oy, ox, acc);
      for (int32_t c = 0; c < s->channels; ++c) kg_error_put(&out, (iy * s->in_w + ix) * s->channels + c, acc[c]);
    }
  }
  kg_error_end(&out);
}
