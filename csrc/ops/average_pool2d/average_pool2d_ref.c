#include "average_pool2d.h"

#include "../../common/output.h"

static int32_t round_divide(int32_t sum, int32_t count, int32_t half_up) {
  const int32_t half = count / 2;
  if (half_up) return (sum + 128 * count + half) / count - 128; /* the dividend is not negative */
  return sum > 0 ? (sum + half) / count : (sum - half) / count;
}

void kg_average_pool2d_ref_s8(const kg_average_pool2d_args *a, const kg_memory *mem) {
  const kg_pool2d_shape *s = &a->shape;
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  kg_output out = kg_output_begin(mem, a->y, a->mask, 0, a->y_min, a->y_max);

  for (int32_t oy = 0; oy < s->out_h; ++oy) {
    const kg_span rows = kg_pool_inputs(oy, s->stride_h, s->pad_top, s->k_h, s->in_h);
    for (int32_t ox = 0; ox < s->out_w; ++ox) {
      const kg_span cols = kg_pool_inputs(ox, s->stride_w, s->pad_left, s->k_w, s->in_w);
      const int32_t count = (rows.end - rows.first) * (cols.end - cols.first);
      for (int32_t c = 0; c < s->channels; ++c) {
        int32_t sum = 0;
        for (int32_t iy = rows.first; iy < rows.end; ++iy)
          for (int32_t ix = cols.first; ix < cols.end; ++ix) sum += x[(iy * s->in_w + ix) * s->channels + c];
        kg_output_put(&out, round_divide(sum, count, a->half_up));
      }
    }
  }
  kg_output_end(&out);
}
