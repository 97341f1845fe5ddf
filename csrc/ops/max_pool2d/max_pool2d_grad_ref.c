#include "max_pool2d.h"

void kg_max_pool2d_grad_ref_s8(const kg_max_pool2d_grad_args *a, const kg_memory *mem) {
  const kg_pool2d_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const uint8_t *winner = (const uint8_t *)kg_in(mem, a->winner);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e);

  for (int32_t iy = 0; iy < s->in_h; ++iy) {
    const kg_span rows = kg_pool_outputs(iy, s->stride_h, s->pad_top, s->k_h, s->out_h);
    for (int32_t ix = 0; ix < s->in_w; ++ix) {
      const kg_span cols = kg_pool_outputs(ix, s->stride_w, s->pad_left, s->k_w, s->out_w);
      for (int32_t c = 0; c < s->channels; ++c) {
        int32_t acc = 0;
        for (int32_t oy = rows.first; oy < rows.end; ++oy) {
          const int32_t ky = iy - (oy * s->stride_h - s->pad_top);
          for (int32_t ox = cols.first; ox < cols.end; ++ox) {
            const int32_t kx = ix - (ox * s->stride_w - s->pad_left);
            const int32_t o = (oy * s->out_w + ox) * s->channels + c;
            if (winner[o] == ky * s->k_w + kx) acc += gy[o];
          }
        }
        kg_error_put(&out, (iy * s->in_w + ix) * s->channels + c, acc);
      }
    }
  }
  kg_error_end(&out);
}
