/* What depthwise convolutions that learn share, forward and backward: spans of taps, learned weights as planes want them, and where things
 * lie in their scratch. */
#ifndef KG_OPS_DEPTHWISE_CONV2D_LEARN_H
#define KG_OPS_DEPTHWISE_CONV2D_LEARN_H

#include "../../common/dsp/planes.h"
#include "../../common/dsp/simd.h"
#include "depthwise_conv2d.h"

/* Along one axis. */
typedef struct kg_axis {
  int32_t in, out, taps, stride, pad;
} kg_axis;

static inline kg_axis kg_depthwise_rows(const kg_depthwise_shape *s) {
  const kg_axis a = {s->in_h, s->out_h, s->k_h, s->stride_h, s->pad_top};
  return a;
}

static inline kg_axis kg_depthwise_columns(const kg_depthwise_shape *s) {
  const kg_axis a = {s->in_w, s->out_w, s->k_w, s->stride_w, s->pad_left};
  return a;
}

/* Taps of output position `o` that lie on the input; steps in bytes. */
static inline kg_taps kg_taps_forward(const kg_axis *a, int32_t o, int32_t x_step, int32_t w_step) {
  const int32_t corner = o * a->stride - a->pad, first = corner < 0 ? -corner : 0;
  const int32_t last = a->in - corner < a->taps ? a->in - corner : a->taps;
  const kg_taps none = {0, 0, 0};
  if (last <= first) return none;
  const kg_taps span = {(corner + first) * x_step, first * w_step, last - first};
  return span;
}

/* Where tap `k` stands in the weights of the backward pass: taps of one remainder by the stride stand together, the last first, so that
 * the taps of an input position follow each other. */
static inline int32_t kg_tap_backward(const kg_axis *a, int32_t k) {
  const int32_t phase = k % a->stride;
  int32_t base = 0;
  for (int32_t p = 0; p < phase && p < a->taps; ++p) base += (a->taps - p + a->stride - 1) / a->stride;
  return base + (a->taps - phase + a->stride - 1) / a->stride - 1 - k / a->stride;
}

/* Output positions that input position `i` feeds. */
static inline kg_taps kg_taps_backward(const kg_axis *a, int32_t i, int32_t x_step, int32_t w_step) {
  const int32_t end = i + a->pad, beyond = end - a->taps; /* tap k feeds (end - k) / stride */
  const int32_t first = beyond < 0 ? 0 : beyond / a->stride + 1;
  const int32_t last = end / a->stride < a->out ? end / a->stride : a->out - 1;
  const kg_taps none = {0, 0, 0};
  if (last < first) return none;
  const kg_taps span = {first * x_step, kg_tap_backward(a, end - first * a->stride) * w_step, last - first + 1};
  return span;
}

/* Learned weights of channels c..c+3 as int16 pairs; tap (ky, kx) goes to the place that the pass gives it. */
static inline void kg_depthwise_pack(const kg_depthwise_shape *s, const int8_t *w, int32_t c, uint32_t *to, int32_t backward) {
  const kg_axis rows = kg_depthwise_rows(s), columns = kg_depthwise_columns(s);
  for (int32_t ky = 0; ky < s->k_h; ++ky) {
    const int32_t row = backward ? kg_tap_backward(&rows, ky) : ky;
    for (int32_t kx = 0; kx < s->k_w; ++kx) {
      const int32_t place = row * s->k_w + (backward ? kg_tap_backward(&columns, kx) : kx);
      const uint32_t four = kg_load_u32(w + (ky * s->k_w + kx) * s->live_c + c);
      to[2 * place] = kg_sxtb16(four);
      to[2 * place + 1] = kg_sxtb16_ror8(four);
    }
  }
}

/* Bytes of scratch, in this order: planes, sums of a row, spans, learned weights. `height` and `width` are those of what is written,
 * `from` the pixels of what is read. */
static inline int64_t kg_depthwise_sums(int64_t from, int32_t block) { return 2 * from * block; }

static inline int64_t kg_depthwise_spans(int64_t from, int32_t width, int32_t block) {
  return kg_depthwise_sums(from, block) + 4 * (int64_t)width * block;
}

static inline int64_t kg_depthwise_packed(int64_t from, int32_t height, int32_t width, int32_t block) {
  return kg_depthwise_spans(from, width, block) + (int64_t)sizeof(kg_taps) * (height + width);
}

static inline int64_t kg_depthwise_scratch(const kg_depthwise_shape *s, int64_t from, int32_t height, int32_t width,
                                           int32_t block) {
  const int64_t live = s->live_c < block ? s->live_c : block;
  return kg_depthwise_packed(from, height, width, block) + 2 * live * s->k_h * s->k_w;
}

#endif
