/* Sizes that the kernel for cores with the DSP extension and its check share. */
#ifndef KG_OPS_CONV2D_DSP_H
#define KG_OPS_CONV2D_DSP_H

#include "../../common/dsp/gemm.h"
#include "conv2d.h"

enum { KG_CONV2D_DSP_TILE = 4, KG_CONV2D_DSP_WEIGHTS_MAX = 1 << 24 };

/* A row of a window: bytes that lie side by side. */
static inline int32_t kg_conv2d_dsp_row(const kg_conv2d_shape *s) { return s->k_w * s->in_c; }

/* Inputs of a window: of every row what comes in fours, then what is left of all rows, column by column, each padded to fours. */
static inline int32_t kg_conv2d_dsp_inputs(const kg_conv2d_shape *s) {
  const int32_t row = kg_conv2d_dsp_row(s), columns = row % 4;
  return s->k_h * (row - columns) + columns * ((s->k_h + 3) / 4 * 4);
}

/* Windows that reach beyond the image, or whose rows do not lie side by side, are copied row by row. */
static inline int32_t kg_conv2d_dsp_copies(const kg_conv2d_shape *s) {
  const int32_t bottom = (s->out_h - 1) * s->stride_h - s->pad_top + (s->k_h - 1) * s->dilation_h;
  const int32_t right = (s->out_w - 1) * s->stride_w - s->pad_left + (s->k_w - 1) * s->dilation_w;
  return s->pad_top > 0 || s->pad_left > 0 || bottom >= s->in_h || right >= s->in_w || (s->dilation_w > 1 && s->k_w > 1);
}

#endif
