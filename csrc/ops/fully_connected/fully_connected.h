/* Fully connected layer. Its backward pass is that of a 1x1 convolution over `rows` pixels (ops/conv2d).
 *
 * A weight may come in two parts: `w_live` holds input features [0, live), which learn, `w_frozen` the other in - live. */
#ifndef KG_OPS_FULLY_CONNECTED_H
#define KG_OPS_FULLY_CONNECTED_H

#include "../../common/check.h"

/* y = clamp(requantize(sum (x - x_zero) (w - w_zero) + bias) + y_zero), rounded once, per channel. */
typedef struct kg_fully_connected_args {
  kg_ref x;          /* int8 [rows][in] */
  kg_ref y;          /* int8 [rows][out] */
  kg_ref w_frozen;   /* int8 [out][in - live], none when live == in */
  kg_ref w_live;     /* int8 [out][live], none when live == 0 */
  kg_ref bias;       /* int32 [out] or none */
  kg_ref multiplier; /* int32 [out], constant */
  kg_ref shift;      /* int8 [out], constant, -31..30 */
  kg_ref mask;       /* bits [rows][out], 1 where the value before clamping lies in y_min..y_max; or none */
  int32_t rows, in, out, live;
  int32_t x_zero, w_zero, y_zero;
  int32_t y_min, y_max;
} kg_fully_connected_args;

void kg_fully_connected_ref_s8(const kg_fully_connected_args *args, const kg_memory *mem);
int32_t kg_fully_connected_check(const kg_fully_connected_args *args, kg_check *c);

/* The same for cores with the DSP extension: constant weights, laid out with biases and multipliers in one stream (common/dsp/fc4.h). */
typedef struct kg_fully_connected_dsp_args {
  kg_ref x;       /* int8 [rows][in] */
  kg_ref y;       /* int8 [rows][out] */
  kg_ref stream;  /* constant: (out + 3) / 4 groups of 64 + 4 * padded bytes, padded = in rounded up to 16 */
  kg_ref scratch; /* 2 * padded bytes */
  int32_t rows, in, out;
  int32_t y_min, y_max;
} kg_fully_connected_dsp_args;

void kg_fully_connected_dsp_s8(const kg_fully_connected_dsp_args *args, const kg_memory *mem);
int32_t kg_fully_connected_dsp_check(const kg_fully_connected_dsp_args *args, kg_check *c);

#endif
