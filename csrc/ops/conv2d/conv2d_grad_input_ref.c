#include "conv2d.h"

#include "../../common/dot.h"
#include "../../common/window.h"

void kg_conv2d_grad_input_ref_s8(const kg_conv2d_grad_input_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *w_frozen = (const int8_t *)kg_in(mem, a->w_frozen);
  const int8_t *w_live = (const int8_t *)kg_in(mem, a->w_live);
  const int32_t *fold = (const int32_t *)kg_in(mem, a->fold);
  int32_t *acc = (int32_t *)kg_out(mem, a->scratch);
  const int32_t acc_exponent = kg_error_exponent(mem, a->gy_exponent) - a->fold_exponent + a->fold_shift;
  const int32_t half = (int32_t)1 << (a->fold_shift - 1);
  const int32_t live_c = s->live_c;
  const int32_t frozen_c = s->in_c - live_c;
  const int32_t taps = s->k_h * s->k_w;
  kg_error_writer out = kg_error_begin(mem, &a->gx, acc_exponent);

  for (int32_t iy = 0; iy < s->in_h; ++iy) {
    for (int32_t ix = 0; ix < s->in_w; ++ix) {
      for (int32_t ic = 0; ic < s->in_c; ++ic) acc[ic] = 0;
      for (int32_t tap = 0; tap < taps; ++tap) {
        int32_t oy = kg_window_output(iy, tap / s->k_w, s->pad_top, s->dilation_h, s->stride_h, s->out_h);
        int32_t ox = kg_window_output(ix, tap % s->k_w, s->pad_left, s->dilation_w, s->stride_w, s->out_w);
        if (oy < 0 || ox < 0) continue;
        const int8_t *g = gy + (oy * s->out_w + ox) * s->out_c;
        for (int32_t oc = 0; oc < s->out_c; ++oc) {
          int32_t folded = (g[oc] * fold[oc] + half) >> a->fold_shift;
          if (folded == 0) continue;
          if (live_c > 0) kg_add_scaled_s8(acc, w_live + (oc * taps + tap) * live_c, live_c, folded, a->w_zero);
          if (frozen_c > 0) kg_add_scaled_s8(acc + live_c, w_frozen + (oc * taps + tap) * frozen_c, frozen_c, folded, a->w_zero);
        }
      }
      for (int32_t ic = 0; ic < s->in_c; ++ic) kg_error_put(&out, (iy * s->in_w + ix) * s->in_c + ic, acc[ic]);
    }
  }
  kg_error_end(&out);
}
