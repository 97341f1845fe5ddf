/* The blocks of a depthwise convolution, one after another: planes of four channels are filled, a kernel computes from them. */
#ifndef KG_OPS_DEPTHWISE_CONV2D_DSP_PASS_H
#define KG_OPS_DEPTHWISE_CONV2D_DSP_PASS_H

#include "depthwise_conv2d_dsp.h"

/* Some columns of results, and the planes that they come from. */
typedef struct kg_depthwise_map {
  const kg_depthwise_conv2d_dsp_args *args;
  const kg_depthwise_shape *shape;
  const int8_t *x;
  int32_t x_row, x_col; /* bytes from a pixel to the one below, to the one at its right */
  uint32_t *planes;
  int32_t columns;    /* of a plane */
  int32_t left;       /* columns of padding before the image */
  int32_t image_col;  /* the column of the image behind them */
  int32_t image_cols; /* columns of the image in a plane */
  int8_t zero[KG_DEPTHWISE_CHANNELS];
} kg_depthwise_map;

typedef struct kg_depthwise_pass {
  const kg_memory *memory;
  kg_depthwise_shape shape; /* as the kernel takes it */
  kg_depthwise_map map;
  kg_depthwise_block block;
  const uint32_t *stream; /* of this block's channels */
  int8_t *y;              /* its first result */
  int32_t col, channel, row;
  int32_t first, end; /* strips in the planes */
} kg_depthwise_pass;

void kg_depthwise_pass_begin(kg_depthwise_pass *p, const kg_depthwise_conv2d_dsp_args *a, const kg_memory *mem);
/* Planes of the next block are filled; 0 after the last one, when results have been clamped. */
int32_t kg_depthwise_pass_next(kg_depthwise_pass *p);

#endif
