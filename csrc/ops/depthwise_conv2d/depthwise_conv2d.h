/* Depthwise 2-D convolution and the two kernels of its backward pass. Batch 1, NHWC; output channel c sees input channel c / multiplier.
 *
 * A weight may come in two parts: `w_live` holds output channels [0, live_c), which learn, `w_frozen` the other c - live_c. live_c is a
 * multiple of the channel multiplier. */
#ifndef KG_OPS_DEPTHWISE_CONV2D_H
#define KG_OPS_DEPTHWISE_CONV2D_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"
#include "../../common/update.h"

/* Channels that the kernels take at a time; sums stay in registers or on the stack. */
enum { KG_DEPTHWISE_BLOCK = 16 };

/* Geometry shared by forward and backward. There are in_c * multiplier output channels. */
typedef struct kg_depthwise_shape {
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, multiplier;
  int32_t k_h, k_w;
  int32_t stride_h, stride_w;
  int32_t dilation_h, dilation_w;
  int32_t pad_top, pad_left;
  int32_t live_c; /* output channels in w_live, 0..in_c * multiplier */
} kg_depthwise_shape;

/* y = clamp(requantize(sum (x - x_zero) (w - w_zero) + bias) + y_zero), double rounding per channel; c = in_c * multiplier. */
typedef struct kg_depthwise_conv2d_args {
  kg_ref x;          /* int8 [in_h][in_w][in_c] */
  kg_ref y;          /* int8 [out_h][out_w][c] */
  kg_ref w_frozen;   /* int8 [k_h][k_w][c - live_c], none when live_c == c */
  kg_ref w_live;     /* int8 [k_h][k_w][live_c], none when live_c == 0 */
  kg_ref bias;       /* int32 [c] or none */
  kg_ref multiplier; /* int32 [c], constant */
  kg_ref shift;      /* int8 [c], constant, -31..30 */
  kg_ref mask;       /* bits [out_h][out_w][c], 1 where the value before clamping lies in y_min..y_max; or none */
  kg_depthwise_shape shape;
  int32_t x_zero, w_zero, y_zero;
  int32_t y_min, y_max;
} kg_depthwise_conv2d_args;

void kg_depthwise_conv2d_ref_s8(const kg_depthwise_conv2d_args *args, const kg_memory *mem);
int32_t kg_depthwise_conv2d_check(const kg_depthwise_conv2d_args *args, kg_check *c);

/* The same for cores with the DSP extension: constant weights in a stream (common/dsp/depthwise.h), no multiplier, no dilation, at least
 * four channels, which are expanded into planes four at a time: as many rows as block_h results need, as many columns as block_w need. */
typedef struct kg_depthwise_conv2d_dsp_args {
  kg_ref x;       /* int8 [in_h][in_w][in_c] */
  kg_ref y;       /* int8 [out_h][out_w][in_c] */
  kg_ref stream;  /* constant: words of every channel, see depthwise_conv2d_dsp.h */
  kg_ref scratch; /* the planes; see the check */
  kg_depthwise_shape shape;
  int32_t swapped; /* 1: columns are taken for rows and rows for columns, in all that follows and in the stream; else 0 */
  int32_t block_h; /* rows of results at a time; even unless the vertical stride is even or there is one block */
  int32_t block_w; /* columns of results at a time */
  int32_t whole;   /* 1: 3x3 windows, both strides 1 or 2, rectified */
  int32_t rectified;
  int32_t x_zero;
  int32_t y_min, y_max;
} kg_depthwise_conv2d_dsp_args;

void kg_depthwise_conv2d_dsp_s8(const kg_depthwise_conv2d_dsp_args *args, const kg_memory *mem);    /* whole == 0 */
void kg_depthwise_conv2d_dsp3x3_s8(const kg_depthwise_conv2d_dsp_args *args, const kg_memory *mem); /* whole == 1 */
int32_t kg_depthwise_conv2d_dsp_check(const kg_depthwise_conv2d_dsp_args *args, kg_check *c);
int32_t kg_depthwise_conv2d_dsp3x3_check(const kg_depthwise_conv2d_dsp_args *args, kg_check *c);

/* gx = sum over taps and multiplier of gy * s_w * w; the scales are folded in as in kg_conv2d_grad_input_args. */
typedef struct kg_depthwise_conv2d_grad_input_args {
  kg_ref gy;          /* int8 error [out_h][out_w][c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref w_frozen, w_live;
  kg_ref fold;     /* int32 [c], constant, 0..2^14: round(s_w * 2^fold_exponent) */
  kg_error_out gx; /* int8 error [in_h][in_w][in_c] */
  kg_depthwise_shape shape;
  int32_t w_zero;
  int32_t fold_exponent; /* -100..100 */
  int32_t fold_shift;    /* folded = (gy * fold + half) >> fold_shift, 6..20 */
} kg_depthwise_conv2d_grad_input_args;

void kg_depthwise_conv2d_grad_input_ref_s8(const kg_depthwise_conv2d_grad_input_args *args, const kg_memory *mem);
int32_t kg_depthwise_conv2d_grad_input_check(const kg_depthwise_conv2d_grad_input_args *args, kg_check *c);

/* gw = sum over pixels of gy * (x - x_zero), scaled and applied at once. */
typedef struct kg_depthwise_conv2d_grad_weights_args {
  kg_ref gy;          /* int8 error [out_h][out_w][c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref x;           /* int8 [in_h][in_w][live_c / multiplier]: the saved input, only the channels that are needed */
  kg_ref w_live;      /* int8 [k_h][k_w][live_c], updated; none under gradient accumulation */
  kg_update update;
  kg_depthwise_shape shape;
  int32_t x_zero;
  int32_t w_min, w_max;
} kg_depthwise_conv2d_grad_weights_args;

void kg_depthwise_conv2d_grad_weights_ref_s8(const kg_depthwise_conv2d_grad_weights_args *args, const kg_memory *mem);
int32_t kg_depthwise_conv2d_grad_weights_check(const kg_depthwise_conv2d_grad_weights_args *args, kg_check *c);

/* The kernel of layers that learn, for cores with the DSP extension (common/dsp/planes.h): learned weights, biases that change, clamp
 * masks. A multiplier of 1, no dilation, no weight zero point, at most seven taps across, in_c a multiple of eight, live_c of four. */
typedef struct kg_depthwise_conv2d_learn_args {
  kg_ref x; /* int8 [in_h][in_w][in_c] */
  kg_ref y; /* int8 [out_h][out_w][in_c] */
  kg_ref
      w_frozen; /* constant int16: for every four frozen channels and each tap the pairs (0, 2), (1, 3); none without frozen weights */
  kg_ref w_live;     /* int8 [k_h][k_w][live_c], none when live_c == 0 */
  kg_ref bias;       /* int32 [in_c] or none */
  kg_ref scaling;    /* constant: int32 multiplier, offset, shift of each channel */
  kg_ref odd;        /* constant: int32 [odds], channels that `multiplier` and `shift` scale, or none */
  kg_ref multiplier; /* int32 [in_c], constant */
  kg_ref shift;      /* int8 [in_c], constant, -31..30 */
  kg_ref mask;       /* as in kg_depthwise_conv2d_args */
  kg_ref scratch;    /* see depthwise_conv2d_learn.h */
  kg_depthwise_shape shape;
  int32_t odds;
  int32_t block; /* channels at a time, a multiple of eight */
  int32_t x_zero, y_zero;
  int32_t y_min, y_max;
} kg_depthwise_conv2d_learn_args;

void kg_depthwise_conv2d_learn_s8(const kg_depthwise_conv2d_learn_args *args, const kg_memory *mem);
int32_t kg_depthwise_conv2d_learn_check(const kg_depthwise_conv2d_learn_args *args, kg_check *c);

/* kg_depthwise_conv2d_grad_input_args for the same layers; in_c a multiple of four. */
typedef struct kg_depthwise_conv2d_grad_input_dsp_args {
  kg_ref gy;          /* int8 error [out_h][out_w][in_c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref w_frozen;    /* as above, taps in the order of kg_tap_backward */
  kg_ref w_live;      /* int8 [k_h][k_w][live_c], none when live_c == 0 */
  kg_ref fold;        /* constant: int16 [in_c] */
  kg_ref scratch;     /* see depthwise_conv2d_learn.h */
  kg_error_out gx;    /* int8 error [in_h][in_w][in_c] */
  kg_depthwise_shape shape;
  int32_t block; /* channels at a time, a multiple of four */
  int32_t fold_exponent, fold_shift;
} kg_depthwise_conv2d_grad_input_dsp_args;

void kg_depthwise_conv2d_grad_input_dsp_s8(const kg_depthwise_conv2d_grad_input_dsp_args *args, const kg_memory *mem);
int32_t kg_depthwise_conv2d_grad_input_dsp_check(const kg_depthwise_conv2d_grad_input_dsp_args *args, kg_check *c);

#endif
