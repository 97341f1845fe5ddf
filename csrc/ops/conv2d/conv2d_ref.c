#include "conv2d.h"

#include "../../common/dot.h"
#include "../../common/output.h"

/* Sum over the window of one output pixel, where the taps of a row lie side by side in x and in the weights: one longer product a row. */
static int32_t sum_rows(const kg_conv2d_args *a, const int8_t *x, const int8_t *w, int32_t oy, int32_t ox) {
  const kg_conv2d_shape *s = &a->shape;
  const int32_t left = ox * s->stride_w - s->pad_left;
  const int32_t first = left < 0 ? -left : 0;
  const int32_t last = left + s->k_w > s->in_w ? s->in_w - left : s->k_w;
  int32_t acc = 0;
  if (first >= last) return 0;
  for (int32_t ky = 0; ky < s->k_h; ++ky) {
    const int32_t iy = oy * s->stride_h - s->pad_top + ky * s->dilation_h;
    if (iy < 0 || iy >= s->in_h) continue;
    acc += kg_dot_s8(x + (iy * s->in_w + left + first) * s->in_c, w + (ky * s->k_w + first) * s->in_c, (last - first) * s->in_c,
                     a->x_zero, a->w_zero);
  }
  return acc;
}

/* The same tap by tap; the part of the weights has `row_c` input channels, the first of them is `first_c` of x. */
static int32_t sum_taps(const kg_conv2d_args *a, const int8_t *x, const int8_t *w, int32_t row_c, int32_t first_c, int32_t oy,
                        int32_t ox) {
  const kg_conv2d_shape *s = &a->shape;
  int32_t acc = 0;
  for (int32_t ky = 0; ky < s->k_h; ++ky) {
    const int32_t iy = kg_conv2d_input_row(s, oy, ky);
    if (iy < 0) continue;
    for (int32_t kx = 0; kx < s->k_w; ++kx) {
      const int32_t ix = kg_conv2d_input_col(s, ox, kx);
      if (ix < 0) continue;
      acc += kg_dot_s8(x + (iy * s->in_w + ix) * s->in_c + first_c, w + (ky * s->k_w + kx) * row_c, row_c, a->x_zero, a->w_zero);
    }
  }
  return acc;
}

/* Sum over the window of one output pixel and channel, one part of the weights. */
static int32_t accumulate(const kg_conv2d_args *a, const int8_t *x, const int8_t *w, int32_t row_c, int32_t first_c, int32_t oy,
                          int32_t ox) {
  const kg_conv2d_shape *s = &a->shape;
  const int32_t side_by_side = row_c == s->in_c && s->dilation_w == 1 && !s->transposed;
  return side_by_side ? sum_rows(a, x, w, oy, ox) : sum_taps(a, x, w, row_c, first_c, oy, ox);
}

void kg_conv2d_ref_s8(const kg_conv2d_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *s = &a->shape;
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int8_t *w_frozen = (const int8_t *)kg_in(mem, a->w_frozen);
  const int8_t *w_live = (const int8_t *)kg_in(mem, a->w_live);
  const int32_t *bias = (const int32_t *)kg_in(mem, a->bias);
  const int32_t *multiplier = (const int32_t *)kg_in(mem, a->multiplier);
  const int8_t *shift = (const int8_t *)kg_in(mem, a->shift);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, a->y_min, a->y_max);
  const int32_t group_c = s->in_c / s->groups, group_out = s->out_c / s->groups;
  const int32_t live_c = s->live_c;
  const int32_t frozen_c = group_c - live_c;
  const int32_t taps = s->k_h * s->k_w;

  for (int32_t oy = 0; oy < s->out_h; ++oy) {
    for (int32_t ox = 0; ox < s->out_w; ++ox) {
      for (int32_t oc = 0, first_c = 0, end = group_out; oc < s->out_c; first_c += group_c, end += group_out) {
        for (; oc < end; ++oc) {
          int32_t acc = bias ? bias[oc] : 0;
          if (live_c > 0) acc = kg_add_wrap(acc, accumulate(a, x, w_live + oc * taps * live_c, live_c, first_c, oy, ox));
          if (frozen_c > 0)
            acc = kg_add_wrap(acc, accumulate(a, x, w_frozen + oc * taps * frozen_c, frozen_c, first_c + live_c, oy, ox));
          kg_output_put(&out, kg_requantize(acc, multiplier[oc], shift[oc]));
        }
      }
    }
  }
  kg_output_end(&out);
}
