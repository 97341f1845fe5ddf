#include "average_pool2d.h"

#include "../../common/fixed_point.h"

/* Average of one channel of a window, halves away from zero. */
static int32_t window_average(const kg_pool2d_shape *s, const int16_t *x, kg_span rows, kg_span cols) {
  const int32_t count = (rows.end - rows.first) * (cols.end - cols.first), half = count / 2;
  int32_t sum = 0;
  for (int32_t iy = rows.first; iy < rows.end; ++iy)
    for (int32_t ix = cols.first; ix < cols.end; ++ix) sum += x[(iy * s->in_w + ix) * s->channels];
  return sum > 0 ? (sum + half) / count : (sum - half) / count;
}

void kg_average_pool2d_ref_s16(const kg_average_pool2d_args *a, const kg_memory *mem) {
  const kg_pool2d_shape *s = &a->shape;
  const int16_t *x = (const int16_t *)kg_in(mem, a->x);
  int16_t *y = (int16_t *)kg_out(mem, a->y);

  for (int32_t oy = 0; oy < s->out_h; ++oy) {
    const kg_span rows = kg_pool_inputs(oy, s->stride_h, s->pad_top, s->k_h, s->in_h);
    for (int32_t ox = 0; ox < s->out_w; ++ox) {
      const kg_span cols = kg_pool_inputs(ox, s->stride_w, s->pad_left, s->k_w, s->in_w);
      for (int32_t c = 0; c < s->channels; ++c)
        *y++ = (int16_t)kg_clamp_s32(window_average(s, x + c, rows, cols), a->y_min, a->y_max);
    }
  }
}
