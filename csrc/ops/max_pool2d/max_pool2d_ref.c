#include "max_pool2d.h"

#include "../../common/output.h"

/* Maximum of one channel of a window; `at` gets the position of the first one, iy * in_w + ix. */
static int32_t window_max(const kg_pool2d_shape *s, const int8_t *x, kg_span rows, kg_span cols, int32_t *at) {
  int32_t best = -129;
  for (int32_t iy = rows.first; iy < rows.end; ++iy) {
    for (int32_t ix = cols.first; ix < cols.end; ++ix) {
      int32_t v = x[(iy * s->in_w + ix) * s->channels];
      if (v > best) {
        best = v;
        *at = iy * s->in_w + ix;
      }
    }
  }
  return best;
}

void kg_max_pool2d_ref_s8(const kg_max_pool2d_args *a, const kg_memory *mem) {
  const kg_pool2d_shape *s = &a->shape;
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  uint8_t *winner = (uint8_t *)kg_out(mem, a->winner);
  kg_output out = kg_output_begin(mem, a->y, a->mask, 0, a->y_min, a->y_max);

  for (int32_t oy = 0; oy < s->out_h; ++oy) {
    const kg_span rows = kg_pool_inputs(oy, s->stride_h, s->pad_top, s->k_h, s->in_h);
    const int32_t top = oy * s->stride_h - s->pad_top;
    for (int32_t ox = 0; ox < s->out_w; ++ox) {
      const kg_span cols = kg_pool_inputs(ox, s->stride_w, s->pad_left, s->k_w, s->in_w);
      const int32_t left = ox * s->stride_w - s->pad_left;
      for (int32_t c = 0; c < s->channels; ++c) {
        int32_t at = 0;
        kg_output_put(&out, window_max(s, x + c, rows, cols, &at));
        if (winner) *winner++ = (uint8_t)((at / s->in_w - top) * s->k_w + at % s->in_w - left);
      }
    }
  }
  kg_output_end(&out);
}
