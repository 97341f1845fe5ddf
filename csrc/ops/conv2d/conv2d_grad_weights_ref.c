#include "conv2d.h"

#include "../../common/dot.h"

/* Gradient of one output channel and tap for all live input channels; `x` starts at the first channel that the output channel sees. */
static void tap_gradient(const kg_conv2d_shape *s, const int8_t *gy, const int8_t *x, int32_t x_zero, int32_t oc, int32_t tap,
                         int32_t *acc) {
  const int32_t ky = tap / s->k_w, kx = tap % s->k_w, pixel_c = s->live_c * s->groups;
  for (int32_t ic = 0; ic < s->live_c; ++ic) acc[ic] = 0;
  for (int32_t oy = 0; oy < s->out_h; ++oy) {
    int32_t iy = kg_conv2d_input_row(s, oy, ky);
    if (iy < 0) continue;
    for (int32_t ox = 0; ox < s->out_w; ++ox) {
      int32_t g = gy[(oy * s->out_w + ox) * s->out_c + oc];
      int32_t ix = g == 0 ? -1 : kg_conv2d_input_col(s, ox, kx);
      if (ix < 0) continue;
      kg_add_scaled_s8(acc, x + (iy * s->in_w + ix) * pixel_c, s->live_c, g, x_zero);
    }
  }
}

void kg_conv2d_grad_weights_ref_s8(const kg_conv2d_grad_weights_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  int8_t *w = (int8_t *)kg_out(mem, a->w_live);
  int32_t *acc = (int32_t *)kg_out(mem, a->scratch);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  const int32_t taps = s->k_h * s->k_w, group_out = s->out_c / s->groups;
  const kg_updater updater = kg_update_begin(mem, &a->update, w, a->w_min, a->w_max);

  for (int32_t oc = 0; oc < s->out_c; ++oc) {
    const kg_rate rate = kg_update_rate(mem, &a->update, oc, e);
    if (rate.mantissa == 0) continue;
    for (int32_t tap = 0; tap < taps; ++tap) {
      tap_gradient(s, gy, x + oc / group_out * s->live_c, a->x_zero, oc, tap, acc);
      for (int32_t ic = 0; ic < s->live_c; ++ic)
        kg_update_put(&updater, (oc * taps + tap) * s->live_c + ic, kg_update_step(acc[ic], rate, KG_WEIGHT_FRACTION));
    }
  }
}
