/* Sizes that the kernel for cores with the DSP extension and its check share. */
#ifndef KG_OPS_DEPTHWISE_CONV2D_DSP_H
#define KG_OPS_DEPTHWISE_CONV2D_DSP_H

#include "../../common/dsp/depthwise.h"
#include "depthwise_conv2d.h"

/* The geometry with rows and columns as the kernel takes them. */
static inline kg_depthwise_shape kg_depthwise_dsp_shape(const kg_depthwise_conv2d_dsp_args *a) {
  const kg_depthwise_shape *s = &a->shape;
  if (!a->swapped) return *s;
  const kg_depthwise_shape t = {s->in_w,       s->in_h,       s->in_c,     s->out_w,    s->out_h,
                                s->multiplier, s->k_w,        s->k_h,      s->stride_w, s->stride_h,
                                s->dilation_w, s->dilation_h, s->pad_left, s->pad_top,  s->live_c};
  return t;
}

/* Columns of weights: an odd number. */
static inline int32_t kg_depthwise_dsp_taps(const kg_depthwise_shape *s) { return s->k_w | 1; }

/* Columns of a plane for `cols` results in a row. */
static inline int32_t kg_depthwise_dsp_columns(const kg_depthwise_shape *s, int32_t cols) {
  return (cols - 1) * s->stride_w + kg_depthwise_dsp_taps(s);
}

/* Strips that a window reaches into. */
static inline int32_t kg_depthwise_dsp_window(const kg_depthwise_shape *s) { return (s->k_h + 1 + s->stride_h % 2) / 2; }

/* Strips for `rows` rows of results. */
static inline int32_t kg_depthwise_dsp_strips(const kg_depthwise_shape *s, int32_t rows) {
  return (rows - 1) * s->stride_h / 2 + kg_depthwise_dsp_window(s);
}

/* Words of weights of a channel for windows that start in an upper row. */
static inline int32_t kg_depthwise_dsp_set(const kg_depthwise_shape *s) {
  return kg_depthwise_dsp_window(s) * ((kg_depthwise_dsp_taps(s) + 1) / 2);
}

/* Words of weights of a channel. */
static inline int32_t kg_depthwise_dsp_sets(const kg_depthwise_shape *s) {
  return kg_depthwise_dsp_set(s) * (1 + s->stride_h % 2);
}

/* Bytes of scratch for the pairs of a channel's weights. */
static inline int32_t kg_depthwise_dsp_pairs(const kg_depthwise_shape *s) { return (kg_depthwise_dsp_sets(s) + 3) / 4 * 32; }

/* Words of a channel in the stream. */
static inline int32_t kg_depthwise_dsp_record(const kg_depthwise_shape *s, int32_t whole) {
  return whole ? KG_DEPTHWISE_WHOLE : kg_depthwise_dsp_sets(s) + 4;
}

#endif
