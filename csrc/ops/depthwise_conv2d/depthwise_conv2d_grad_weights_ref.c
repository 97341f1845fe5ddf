#include "depthwise_conv2d.h"

/* acc[j] += g[j] * (x[from[j]] - x_zero), where from[j] = j without a channel multiplier. */
static void multiply_add(int32_t *restrict acc, const int8_t *g, const int8_t *x, const int32_t *from, int32_t n,
                         int32_t x_zero) {
  const int16_t zx = (int16_t)x_zero;
  if (from) {
    for (int32_t j = 0; j < n; ++j) acc[j] += (int32_t)g[j] * (int16_t)(x[from[j]] - zx);
  } else {
    for (int32_t j = 0; j < n; ++j) acc[j] += (int32_t)(int16_t)g[j] * (int16_t)(x[j] - zx);
  }
}

/* Gradient of one tap for output channels [c, c + n), n <= KG_DEPTHWISE_BLOCK. */
static void tap_gradient(const kg_depthwise_shape *s, const int8_t *gy, const int8_t *x, int32_t x_zero, int32_t c, int32_t n,
                         int32_t tap, int32_t *acc) {
  const int32_t m = s->multiplier, out_c = s->in_c * m, saved_c = s->live_c / m, first = c / m;
  const int32_t ky = tap / s->k_w, kx = tap % s->k_w;
  int32_t from[KG_DEPTHWISE_BLOCK];
  for (int32_t j = 0; j < n; ++j) from[j] = (c + j) / m - first;
  for (int32_t j = 0; j < n; ++j) acc[j] = 0;
  for (int32_t oy = 0; oy < s->out_h; ++oy) {
    const int32_t iy = oy * s->stride_h - s->pad_top + ky * s->dilation_h;
    if (iy < 0 || iy >= s->in_h) continue;
    for (int32_t ox = 0; ox < s->out_w; ++ox) {
      const int32_t ix = ox * s->stride_w - s->pad_left + kx * s->dilation_w;
      if (ix < 0 || ix >= s->in_w) continue;
      multiply_add(acc, gy + (oy * s->out_w + ox) * out_c + c, x + (iy * s->in_w + ix) * saved_c + first, m > 1 ? from : NULL, n,
                   x_zero);
    }
  }
}

void kg_depthwise_conv2d_grad_weights_ref_s8(const kg_depthwise_conv2d_grad_weights_args *a, const kg_memory *mem) {
  const kg_depthwise_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  int8_t *w = (int8_t *)kg_out(mem, a->w_live);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  const kg_updater updater = kg_update_begin(mem, &a->update, w, a->w_min, a->w_max);

  for (int32_t c = 0; c < s->live_c; c += KG_DEPTHWISE_BLOCK) {
    const int32_t n = s->live_c - c < KG_DEPTHWISE_BLOCK ? s->live_c - c : KG_DEPTHWISE_BLOCK;
    int32_t acc[KG_DEPTHWISE_BLOCK];
    for (int32_t tap = 0; tap < s->k_h * s->k_w; ++tap) {
      tap_gradient(s, gy, x, a->x_zero, c, n, tap, acc);
      for (int32_t j = 0; j < n; ++j) {
        const kg_rate rate = kg_update_rate(mem, &a->update, c + j, e);
        if (rate.mantissa == 0) continue;
        kg_update_put(&updater, tap * s->live_c + c + j, kg_update_step(acc[j], rate, KG_WEIGHT_FRACTION));
      }
    }
  }
}
