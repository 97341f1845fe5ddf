#include "depthwise_conv2d.h"

#include "../../common/output.h"

/* A range of output channels whose weights lie together. */
typedef struct part {
  const int8_t *w;
  int32_t first_c; /* output channel of w[0] */
  int32_t row_c;   /* channels in the part: the distance between taps */
} part;

/* acc[j] += (x[j] - x_zero) * (w[j] - w_zero) */
static void multiply_add(int32_t *restrict acc, const int8_t *x, const int8_t *w, int32_t n, int32_t x_zero, int32_t w_zero) {
  const int16_t zx = (int16_t)x_zero;
  const int16_t zw = (int16_t)w_zero;
  for (int32_t j = 0; j < n; ++j) acc[j] += (int32_t)(int16_t)(x[j] - zx) * (int16_t)(w[j] - zw);
}

/* Sums over the window of one output pixel for channels [c, c + n), n <= KG_DEPTHWISE_BLOCK. */
static void accumulate(const kg_depthwise_conv2d_args *a, const int8_t *x, const part *p, int32_t c, int32_t n, int32_t oy,
                       int32_t ox, int32_t *acc) {
  const kg_depthwise_shape *s = &a->shape;
  const int8_t *w = p->w + (c - p->first_c);
  const int32_t first = c / s->multiplier;
  int8_t gathered[KG_DEPTHWISE_BLOCK];
  int32_t from[KG_DEPTHWISE_BLOCK] = {0};
  if (s->multiplier > 1)
    for (int32_t j = 0; j < n; ++j) from[j] = (c + j) / s->multiplier - first;
  for (int32_t ky = 0; ky < s->k_h; ++ky) {
    const int32_t iy = oy * s->stride_h - s->pad_top + ky * s->dilation_h;
    if (iy < 0 || iy >= s->in_h) continue;
    for (int32_t kx = 0; kx < s->k_w; ++kx) {
      const int32_t ix = ox * s->stride_w - s->pad_left + kx * s->dilation_w;
      if (ix < 0 || ix >= s->in_w) continue;
      const int8_t *pixel = x + (iy * s->in_w + ix) * s->in_c + first;
      if (s->multiplier > 1) {
        for (int32_t j = 0; j < n; ++j) gathered[j] = pixel[from[j]];
        pixel = gathered;
      }
      multiply_add(acc, pixel, w + (ky * s->k_w + kx) * p->row_c, n, a->x_zero, a->w_zero);
    }
  }
}

void kg_depthwise_conv2d_ref_s8(const kg_depthwise_conv2d_args *a, const kg_memory *mem) {
  const kg_depthwise_shape *s = &a->shape;
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int32_t *bias = (const int32_t *)kg_in(mem, a->bias);
  const int32_t *multiplier = (const int32_t *)kg_in(mem, a->multiplier);
  const int8_t *shift = (const int8_t *)kg_in(mem, a->shift);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, a->y_min, a->y_max);
  const int32_t out_c = s->in_c * s->multiplier;
  const part live = {(const int8_t *)kg_in(mem, a->w_live), 0, s->live_c};
  const part frozen = {(const int8_t *)kg_in(mem, a->w_frozen), s->live_c, out_c - s->live_c};

  for (int32_t pixel = 0; pixel < s->out_h * s->out_w; ++pixel) {
    const int32_t oy = pixel / s->out_w, ox = pixel % s->out_w;
    for (int32_t c = 0, n; c < out_c; c += n) {
      const part *p = c < s->live_c ? &live : &frozen;
      n = p->first_c + p->row_c - c;
      if (n > KG_DEPTHWISE_BLOCK) n = KG_DEPTHWISE_BLOCK;
      int32_t acc[KG_DEPTHWISE_BLOCK] = {0};
      accumulate(a, x, p, c, n, oy, ox, acc);
      for (int32_t j = 0; j < n; ++j) {
        int32_t sum = kg_add_wrap(acc[j], bias ? bias[c + j] : 0);
        kg_output_put(&out, kg_requantize(sum, multiplier[c + j], shift[c + j]));
      }
    }
  }
  kg_output_end(&out);
}
