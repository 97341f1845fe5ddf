#include "conv2d.h"

#include "../../common/fixed_point.h"

/* Where the weights of an output channel lie. */
typedef struct layout {
  int32_t channel, tap; /* distance from one output channel to the next, from one tap to the next */
} layout;

/* Sum over the window of one output pixel; `x` starts at the first input channel that the output channel sees, `w` at its weights. */
static int64_t accumulate(const kg_conv2d_s16_args *a, const int16_t *x, const int8_t *w, int32_t tap_distance, int32_t oy,
                          int32_t ox) {
  const kg_conv2d_shape *s = &a->shape;
  const int32_t group_c = s->in_c / s->groups;
  int64_t acc = 0;
  for (int32_t ky = 0; ky < s->k_h; ++ky) {
    const int32_t iy = kg_conv2d_input_row(s, oy, ky);
    if (iy < 0) continue;
    for (int32_t kx = 0; kx < s->k_w; ++kx) {
      const int32_t ix = kg_conv2d_input_col(s, ox, kx);
      if (ix < 0) continue;
      const int16_t *pixel = x + (iy * s->in_w + ix) * s->in_c;
      const int8_t *tap = w + (ky * s->k_w + kx) * tap_distance;
      for (int32_t ic = 0; ic < group_c; ++ic) acc += pixel[ic] * (tap[ic] - a->w_zero);
    }
  }
  return acc;
}

/* Sum with bias, requantized. */
static int32_t result(const kg_conv2d_s16_args *a, int64_t acc, const uint32_t *bias, int32_t oc, int32_t multiplier,
                      int32_t shift) {
  if (a->requantize <= KG_CONV2D_WIDE_ONCE) {
    const uint64_t b = bias ? (uint64_t)bias[2 * oc + 1] << 32 | bias[2 * oc] : 0;
    const int64_t sum = (int64_t)((uint64_t)acc + b);
    return a->requantize == KG_CONV2D_WIDE ? kg_requantize_wide(sum, multiplier, shift)
                                           : kg_requantize_wide_once(sum, multiplier, shift);
  }
  const int32_t narrow = (int32_t)((uint32_t)acc + (bias ? bias[oc] : 0));
  return a->requantize == KG_CONV2D_TWICE ? kg_requantize(narrow, multiplier, shift)
                                          : kg_requantize_once(narrow, multiplier, shift);
}

void kg_conv2d_ref_s16(const kg_conv2d_s16_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *s = &a->shape;
  const int16_t *x = (const int16_t *)kg_in(mem, a->x);
  const int8_t *w = (const int8_t *)kg_in(mem, a->w);
  const uint32_t *bias = (const uint32_t *)kg_in(mem, a->bias);
  const int32_t *multiplier = (const int32_t *)kg_in(mem, a->multiplier);
  const int8_t *shift = (const int8_t *)kg_in(mem, a->shift);
  int16_t *y = (int16_t *)kg_out(mem, a->y);
  const int32_t group_c = s->in_c / s->groups, group_out = s->out_c / s->groups;
  const layout at = {a->channels_last ? 1 : s->k_h * s->k_w * group_c, a->channels_last ? s->out_c : group_c};

  for (int32_t pixel = 0; pixel < s->out_h * s->out_w; ++pixel) {
    for (int32_t oc = 0, first_c = 0, end = group_out; oc < s->out_c; first_c += group_c, end += group_out) {
      for (; oc < end; ++oc) {
        const int64_t acc = accumulate(a, x + first_c, w + oc * at.channel, at.tap, pixel / s->out_w, pixel % s->out_w);
        *y++ = (int16_t)kg_clamp_s32(result(a, acc, bias, oc, multiplier[oc], shift[oc]), a->y_min, a->y_max);
      }
    }
  }
}
