#include "conv2d.h"

#include "../../common/dot.h"

/* The weights and how to use them. */
typedef struct weights {
  const int8_t *frozen, *live;
  const int32_t *fold;
  int32_t shift, half, zero;
} weights;

/* acc[ic] += what the errors `g` of one output pixel send back through one tap. */
static void add_tap(const kg_conv2d_shape *s, const weights *w, const int8_t *g, int32_t tap, int32_t *acc) {
  const int32_t group_c = s->in_c / s->groups, group_out = s->out_c / s->groups;
  const int32_t live_c = s->live_c;
  const int32_t frozen_c = group_c - live_c;
  const int32_t taps = s->k_h * s->k_w;
  for (int32_t oc = 0, end = group_out; oc < s->out_c; acc += group_c, end += group_out) {
    for (; oc < end; ++oc) {
      int32_t folded = (g[oc] * w->fold[oc] + w->half) >> w->shift;
      if (folded == 0) continue;
      if (live_c > 0) kg_add_scaled_s8(acc, w->live + (oc * taps + tap) * live_c, live_c, folded, w->zero);
      if (frozen_c > 0) kg_add_scaled_s8(acc + live_c, w->frozen + (oc * taps + tap) * frozen_c, frozen_c, folded, w->zero);
    }
  }
}

void kg_conv2d_grad_input_ref_s8(const kg_conv2d_grad_input_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *s = &a->shape;
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const weights w = {(const int8_t *)kg_in(mem, a->w_frozen), (const int8_t *)kg_in(mem, a->w_live),
                     (const int32_t *)kg_in(mem, a->fold),    a->fold_shift,
                     (int32_t)1 << (a->fold_shift - 1),       a->w_zero};
  int32_t *acc = (int32_t *)kg_out(mem, a->scratch);
  const int32_t acc_exponent = kg_error_exponent(mem, a->gy_exponent) - a->fold_exponent + a->fold_shift;
  kg_error_writer out = kg_error_begin(mem, &a->gx, acc_exponent);

  for (int32_t iy = 0; iy < s->in_h; ++iy) {
    for (int32_t ix = 0; ix < s->in_w; ++ix) {
      for (int32_t ic = 0; ic < s->in_c; ++ic) acc[ic] = 0;
      for (int32_t tap = 0; tap < s->k_h * s->k_w; ++tap) {
        int32_t oy = kg_conv2d_output_row(s, iy, tap / s->k_w);
        int32_t ox = kg_conv2d_output_col(s, ix, tap % s->k_w);
        if (oy >= 0 && ox >= 0) add_tap(s, &w, gy + (oy * s->out_w + ox) * s->out_c, tap, acc);
      }
      for (int32_t ic = 0; ic < s->in_c; ++ic) kg_error_put(&out, (iy * s->in_w + ix) * s->in_c + ic, acc[ic]);
    }
  }
  kg_error_end(&out);
}
