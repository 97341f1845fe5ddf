/* 2-D convolution and the two kernels of its backward pass. Batch 1, NHWC activations, OHWI weights.
 *
 * With `groups` > 1, output channels are split into as many runs, each of which sees its own run of input channels; weights then have
 * in_c / groups input channels. A weight may come in two parts: `w_live` holds its input channels [0, live_c), which learn, `w_frozen` the
 * others.
 *
 * With `transposed`, the layer is a transposed convolution: stride, padding and dilation relate the *output* to the input, so that every
 * input pixel reaches the outputs that a convolution of the same geometry would have computed it from. */
#ifndef KG_OPS_CONV2D_H
#define KG_OPS_CONV2D_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"
#include "../../common/update.h"
#include "../../common/window.h"

/* Geometry shared by forward and backward. Padding below and right follows from the sizes. */
typedef struct kg_conv2d_shape {
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, out_c;
  int32_t k_h, k_w;
  int32_t stride_h, stride_w;
  int32_t dilation_h, dilation_w;
  int32_t pad_top, pad_left;
  int32_t live_c;     /* input channels in w_live, 0..in_c / groups */
  int32_t groups;     /* divides in_c and out_c */
  int32_t transposed; /* 0 or 1 */
} kg_conv2d_shape;

/* Input row (column) that output row (column) `o` sees through tap `k`, -1 for none. */
static inline int32_t kg_conv2d_input_row(const kg_conv2d_shape *s, int32_t o, int32_t k) {
  return s->transposed ? kg_window_output(o, k, s->pad_top, s->dilation_h, s->stride_h, s->in_h)
                       : kg_window_input(o, k, s->pad_top, s->dilation_h, s->stride_h, s->in_h);
}

static inline int32_t kg_conv2d_input_col(const kg_conv2d_shape *s, int32_t o, int32_t k) {
  return s->transposed ? kg_window_output(o, k, s->pad_left, s->dilation_w, s->stride_w, s->in_w)
                       : kg_window_input(o, k, s->pad_left, s->dilation_w, s->stride_w, s->in_w);
}

/* Output row (column) that input row (column) `i` feeds through tap `k`, -1 for none. */
static inline int32_t kg_conv2d_output_row(const kg_conv2d_shape *s, int32_t i, int32_t k) {
  return s->transposed ? kg_window_input(i, k, s->pad_top, s->dilation_h, s->stride_h, s->out_h)
                       : kg_window_output(i, k, s->pad_top, s->dilation_h, s->stride_h, s->out_h);
}

static inline int32_t kg_conv2d_output_col(const kg_conv2d_shape *s, int32_t i, int32_t k) {
  return s->transposed ? kg_window_input(i, k, s->pad_left, s->dilation_w, s->stride_w, s->out_w)
                       : kg_window_output(i, k, s->pad_left, s->dilation_w, s->stride_w, s->out_w);
}

/* y = clamp(requantize(sum (x - x_zero) (w - w_zero) + bias) + y_zero), double rounding per channel. */
typedef struct kg_conv2d_args {
  kg_ref x;          /* int8 [in_h][in_w][in_c] */
  kg_ref y;          /* int8 [out_h][out_w][out_c] */
  kg_ref w_frozen;   /* int8 [out_c][k_h][k_w][in_c / groups - live_c], none when that is empty */
  kg_ref w_live;     /* int8 [out_c][k_h][k_w][live_c], none when live_c == 0 */
  kg_ref bias;       /* int32 [out_c] or none */
  kg_ref multiplier; /* int32 [out_c], constant */
  kg_ref shift;      /* int8 [out_c], constant, -31..30 */
  kg_ref mask;       /* bits [out_h][out_w][out_c], 1 where the value before clamping lies in y_min..y_max; or none */
  kg_conv2d_shape shape;
  int32_t x_zero, w_zero, y_zero; /* zero points, int8 */
  int32_t y_min, y_max;           /* clamp, int8 */
} kg_conv2d_args;

void kg_conv2d_ref_s8(const kg_conv2d_args *args, const kg_memory *mem);
int32_t kg_conv2d_check(const kg_conv2d_args *args, kg_check *c);

/* The same for cores with the DSP extension: constant weights in a stream (common/dsp/gemm.h), one group, tiles of four pixels and single
 * ones. The order of a window's inputs is kg_conv2d_dsp_inputs'. Long windows are taken `chunk` inputs at a time for `block` channels, in
 * which order the stream has them; then there are at least four pixels, out_c is even, and in_c * k_w a multiple of four. */
typedef struct kg_conv2d_dsp_args {
  kg_ref x;       /* int8 [in_h][in_w][in_c] */
  kg_ref y;       /* int8 [out_h][out_w][out_c] */
  kg_ref stream;  /* constant: 16 bytes and the inputs of a window for every output channel, out_c rounded up to pairs */
  kg_ref scratch; /* pairs of a tile, sums of a block, lines of windows; see the check */
  kg_conv2d_shape shape;
  int32_t tile;  /* pixels at a time: 4 or 1 */
  int32_t form;  /* of the scaling: KG_GEMM_* */
  int32_t chunk; /* all inputs of a window, or a multiple of four */
  int32_t block; /* channels, even; 0 where a chunk is all */
  int32_t x_zero;
  int32_t y_min, y_max;
} kg_conv2d_dsp_args;

void kg_conv2d_dsp_s8(const kg_conv2d_dsp_args *args, const kg_memory *mem);
int32_t kg_conv2d_dsp_check(const kg_conv2d_dsp_args *args, kg_check *c);

/* The same for layers that learn, with sums in memory (common/dsp/sums.h): learned weights, biases that change, clamp masks. */
typedef struct kg_conv2d_learn_args {
  kg_ref x;          /* int8 [in_h][in_w][in_c], in_c and live_c multiples of four */
  kg_ref y;          /* int8 [out_h][out_w][out_c], out_c a multiple of eight, at least four pixels */
  kg_ref w_frozen;   /* constant, none without frozen weights: for every two output channels a word for each pair of inputs */
  kg_ref w_live;     /* int8 [out_c][k_h][k_w][live_c], none when live_c == 0 */
  kg_ref bias;       /* int32 [out_c] or none */
  kg_ref scaling;    /* constant: int32 multiplier, offset, shift of each output channel */
  kg_ref odd;        /* constant: int32 [odds], channels that `multiplier` and `shift` scale, or none */
  kg_ref multiplier; /* int32 [out_c], constant */
  kg_ref shift;      /* int8 [out_c], constant, -31..30 */
  kg_ref mask;       /* as in kg_conv2d_args */
  kg_ref scratch;    /* see conv2d_learn.h */
  kg_conv2d_shape shape;
  int32_t odds;
  int32_t pairs; /* of inputs at a time, even */
  int32_t block; /* output channels at a time, a multiple of eight */
  int32_t held;  /* 1: learned weights of a block are packed once for all pixels; `pairs` then hold all inputs that they meet */
  int32_t x_zero, y_zero;
  int32_t y_min, y_max;
} kg_conv2d_learn_args;

void kg_conv2d_learn_s8(const kg_conv2d_learn_args *args, const kg_memory *mem);
int32_t kg_conv2d_learn_check(const kg_conv2d_learn_args *args, kg_check *c);

/* gx = sum over taps and output channels of gy * s_w * w: the int8 error, times the channel's scale as a 14-bit integer,
 * becomes an int16 (fold_shift chosen by the compiler so that the int32 sum cannot overflow). */
typedef struct kg_conv2d_grad_input_args {
  kg_ref gy;          /* int8 error [out_h][out_w][out_c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref w_frozen, w_live;
  kg_ref fold;     /* int32 [out_c], constant, 0..2^14: round(s_w * 2^fold_exponent) */
  kg_ref scratch;  /* int32 [in_c] */
  kg_error_out gx; /* int8 error [in_h][in_w][in_c] */
  kg_conv2d_shape shape;
  int32_t w_zero;
  int32_t fold_exponent; /* -100..100 */
  int32_t fold_shift;    /* folded = (gy * fold + half) >> fold_shift, 6..20 */
} kg_conv2d_grad_input_args;

void kg_conv2d_grad_input_ref_s8(const kg_conv2d_grad_input_args *args, const kg_memory *mem);
int32_t kg_conv2d_grad_input_check(const kg_conv2d_grad_input_args *args, kg_check *c);

/* The same for cores with the DSP extension, without weight zero point, groups or transposition; in_c, live_c and out_c multiples of four,
 * at least four input pixels. */
typedef struct kg_conv2d_grad_input_dsp_args {
  kg_ref gy;          /* int8 error [out_h][out_w][out_c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref w_frozen;    /* constant: for every two frozen input channels a word for each pair of errors (common/dsp/sums.h) */
  kg_ref w_live;      /* int8 [out_c][k_h][k_w][live_c], none when live_c == 0 */
  kg_ref fold;        /* constant: int16 [out_c], pairs (0, 2), (1, 3) of every four */
  kg_ref scratch;     /* see conv2d_learn.h */
  kg_error_out gx;    /* int8 error [in_h][in_w][in_c] */
  kg_conv2d_shape shape;
  int32_t pairs; /* of errors at a time, even */
  int32_t block; /* input channels at a time, a multiple of four */
  int32_t fold_exponent, fold_shift;
} kg_conv2d_grad_input_dsp_args;

void kg_conv2d_grad_input_dsp_s8(const kg_conv2d_grad_input_dsp_args *args, const kg_memory *mem);
int32_t kg_conv2d_grad_input_dsp_check(const kg_conv2d_grad_input_dsp_args *args, kg_check *c);

/* gw = sum over pixels of gy * (x - x_zero), scaled and applied at once, output channel by output channel. */
typedef struct kg_conv2d_grad_weights_args {
  kg_ref gy;          /* int8 error [out_h][out_w][out_c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref x;           /* int8 [in_h][in_w][live_c * groups]: the saved input, live channels only (all of them with groups) */
  kg_ref w_live;      /* int8 [out_c][k_h][k_w][live_c], updated; none under gradient accumulation */
  kg_ref scratch;     /* int32 [live_c] */
  kg_update update;
  kg_conv2d_shape shape;
  int32_t x_zero;
  int32_t w_min, w_max; /* range of a learned weight, int8 */
} kg_conv2d_grad_weights_args;

void kg_conv2d_grad_weights_ref_s8(const kg_conv2d_grad_weights_args *args, const kg_memory *mem);
int32_t kg_conv2d_grad_weights_check(const kg_conv2d_grad_weights_args *args, kg_check *c);

/* The same for cores with the DSP extension, without groups or transposition; live_c and out_c multiples of four. */
typedef struct kg_conv2d_grad_weights_dsp_args {
  kg_ref gy;          /* int8 error [out_h][out_w][out_c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref x;           /* int8 [in_h][in_w][live_c] */
  kg_ref w_live;      /* int8 [out_c][k_h][k_w][live_c], updated; none under gradient accumulation */
  kg_ref scratch;     /* see conv2d_learn.h */
  kg_update update;
  kg_conv2d_shape shape;
  int32_t x_zero;
  int32_t w_min, w_max; /* range of a learned weight, int8 */
  int32_t pairs;        /* of pixels at a time */
  int32_t block;        /* input channels at a time, a multiple of four */
} kg_conv2d_grad_weights_dsp_args;

void kg_conv2d_grad_weights_dsp_s8(const kg_conv2d_grad_weights_dsp_args *args, const kg_memory *mem);
int32_t kg_conv2d_grad_weights_dsp_check(const kg_conv2d_grad_weights_dsp_args *args, kg_check *c);

/* How sums of the int16 kernel become results. The first two have int64 biases and sums, the others int32 ones (sums wrap). */
enum {
  KG_CONV2D_WIDE = 0,      /* 15-bit multiplier, rounded once */
  KG_CONV2D_WIDE_ONCE = 1, /* 31-bit multiplier, rounded once */
  KG_CONV2D_TWICE = 2,     /* 31-bit multiplier, rounded twice */
  KG_CONV2D_ONCE = 3       /* 31-bit multiplier, rounded once */
};

/* y = clamp(requantize(sum x (w - w_zero) + bias)) for int16 activations without zero point and int8 weights. No gradient passes through
 * int16 layers, so there is no live part and no mask. Depthwise layers are those with one input channel a group and `channels_last`
 * weights; fully connected layers are 1x1 convolutions over their rows. */
typedef struct kg_conv2d_s16_args {
  kg_ref x;          /* int16 [in_h][in_w][in_c] */
  kg_ref y;          /* int16 [out_h][out_w][out_c] */
  kg_ref w;          /* int8 [out_c][k_h][k_w][in_c / groups]; channels_last: [k_h][k_w][out_c] */
  kg_ref bias;       /* [out_c], int64 (4-byte aligned) when wide, int32 otherwise; or none */
  kg_ref multiplier; /* int32 [out_c], constant */
  kg_ref shift;      /* int8 [out_c], constant, -31..7 when wide, -31..30 otherwise */
  kg_conv2d_shape shape;
  int32_t channels_last; /* 0 or 1 */
  int32_t requantize;    /* KG_CONV2D_* */
  int32_t w_zero;        /* int8 */
  int32_t y_min, y_max;  /* clamp, int16 */
} kg_conv2d_s16_args;

void kg_conv2d_ref_s16(const kg_conv2d_s16_args *args, const kg_memory *mem);
int32_t kg_conv2d_s16_check(const kg_conv2d_s16_args *args, kg_check *c);

#endif
