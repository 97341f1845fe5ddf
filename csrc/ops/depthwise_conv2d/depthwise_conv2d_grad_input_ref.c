#include "depthwise_conv2d.h"

#include "../../common/window.h"

/* A range of input channels whose weights lie together. */
typedef struct part {
  const int8_t *w;
  int32_t first_c; /* input channel to which w[0] belongs */
  int32_t count;   /* input channels in the part */
} part;

/* acc[j] += folded(g[j * step]) * (w[j * step] - w_zero) for n channels. Factors and folded errors fit an int16 (at most 2^14, and
 * -2^15 for gy = -128 at the smallest shift), which keeps the multiplications narrow. */
static void add_tap(const kg_depthwise_conv2d_grad_input_args *a, int32_t *restrict acc, const int8_t *g, const int32_t *fold,
                    const int8_t *w, int32_t n, int32_t step) {
  const int32_t half = (int32_t)1 << (a->fold_shift - 1), shift = a->fold_shift;
  const int16_t zw = (int16_t)a->w_zero;
  for (int32_t i = 0, j = 0; j < n; i += step, ++j) {
    const int16_t folded = (int16_t)(((int32_t)(int16_t)g[i] * (int16_t)fold[i] + half) >> shift);
    acc[j] += (int32_t)folded * (int16_t)(w[i] - zw);
  }
}

/* Sums for input channels [c, c + n) of one input pixel. */
static void accumulate(const kg_depthwise_conv2d_grad_input_args *a, const int8_t *gy, const int32_t *fold, const part *p,
                       int32_t c, int32_t n, int32_t iy, int32_t ix, int32_t *acc) {
  const kg_depthwise_shape *s = &a->shape;
  const int32_t m = s->multiplier, out_c = s->in_c * m;
  for (int32_t ky = 0; ky < s->k_h; ++ky) {
    const int32_t oy = kg_window_output(iy, ky, s->pad_top, s->dilation_h, s->stride_h, s->out_h);
    if (oy < 0) continue;
    for (int32_t kx = 0; kx < s->k_w; ++kx) {
      const int32_t ox = kg_window_output(ix, kx, s->pad_left, s->dilation_w, s->stride_w, s->out_w);
      if (ox < 0) continue;
      const int8_t *g = gy + (oy * s->out_w + ox) * out_c + c * m;
      const int8_t *w = p->w + (ky * s->k_w + kx) * p->count * m + (c - p->first_c) * m;
      if (m == 1)
        add_tap(a, acc, g, fold + c, w, n, 1);
      else
        for (int32_t j = 0; j < m; ++j) add_tap(a, acc, g + j, fold + c * m + j, w + j, n, m);
    }
  }
}

void kg_depthwise_conv2d_grad_input_ref_s8(const kg_depthwise_conv2d_grad_input_args *a, const kg_memory *mem) {
  const kg_depthwise_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int32_t *fold = (const int32_t *)kg_in(mem, a->fold);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  const int32_t live_in = s->live_c / s->multiplier;
  const part live = {(const int8_t *)kg_in(mem, a->w_live), 0, live_in};
  const part frozen = {(const int8_t *)kg_in(mem, a->w_frozen), live_in, s->in_c - live_in};
  kg_error_writer out = kg_error_begin(mem, &a->gx, e - a->fold_exponent + a->fold_shift);

  for (int32_t pixel = 0; pixel < s->in_h * s->in_w; ++pixel) {
    const int32_t iy = pixel / s->in_w, ix = pixel % s->in_w;
    for (int32_t c = 0, n; c < s->in_c; c += n) {
      const part *p = c < live_in ? &live : &frozen;
      n = p->first_c + p->count - c;
      if (n > KG_DEPTHWISE_BLOCK) n = KG_DEPTHWISE_BLOCK;
      int32_t acc[KG_DEPTHWISE_BLOCK] = {0};
      accumulate(a, gy, fold, p, c, n, iy, ix, acc);
      for (int32_t j = 0; j < n; ++j) kg_error_put(&out, pixel * s->in_c + c + j, acc[j]);
    }
  }
  kg_error_end(&out);
}
