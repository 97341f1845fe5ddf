/* Sizes that the kernel for cores with the DSP extension and its check share. */
#ifndef KG_OPS_CONV2D_DSP_H
#define KG_OPS_CONV2D_DSP_H

#include "../../common/dsp/gemm.h"
#include "conv2d.h"

/* Inputs of a window. */
static inline int32_t kg_conv2d_dsp_window(const kg_conv2d_shape *s) { return s->k_h * s->k_w * s->in_c; }

/* The same, padded to whole steps. */
static inline int32_t kg_conv2d_dsp_padded(const kg_conv2d_shape *s) {
  return (kg_conv2d_dsp_window(s) + KG_GEMM_STEP - 1) / KG_GEMM_STEP * KG_GEMM_STEP;
}

/* Windows are gathered byte by byte where channels do not come in fours. */
static inline int32_t kg_conv2d_dsp_gathers(const kg_conv2d_shape *s) { return s->in_c % 4 != 0; }

/* Bytes of scratch behind the tile: gathered windows, or a pixel of padding. */
static inline int32_t kg_conv2d_dsp_behind(const kg_conv2d_shape *s, int32_t tile) {
  return kg_conv2d_dsp_gathers(s) ? tile * kg_conv2d_dsp_padded(s) : s->in_c;
}

/* Bytes of scratch for results of an image that is smaller than a tile. */
static inline int32_t kg_conv2d_dsp_spare(const kg_conv2d_shape *s, int32_t tile) {
  return s->out_h * s->out_w < tile ? tile * s->out_c : 0;
}

#endif
