/* 2-D convolution and the two kernels of its backward pass. Batch 1, NHWC activations, OHWI weights.
 *
 * A weight may come in two parts: `w_live` holds input channels [0, live_c), which learn, `w_frozen` the other in_c - live_c. */
#ifndef KG_OPS_CONV2D_H
#define KG_OPS_CONV2D_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"
#include "../../common/update.h"

/* Geometry shared by forward and backward. Padding below and right follows from the sizes. */
typedef struct kg_conv2d_shape {
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, out_c;
  int32_t k_h, k_w;
  int32_t stride_h, stride_w;
  int32_t dilation_h, dilation_w;
  int32_t pad_top, pad_left;
  int32_t live_c; /* input channels in w_live, 0..in_c */
} kg_conv2d_shape;

/* y = clamp(requantize(sum (x - x_zero) (w - w_zero) + bias) + y_zero), double rounding per channel. */
typedef struct kg_conv2d_args {
  kg_ref x;          /* int8 [in_h][in_w][in_c] */
  kg_ref y;          /* int8 [out_h][out_w][out_c] */
  kg_ref w_frozen;   /* int8 [out_c][k_h][k_w][in_c - live_c], none when live_c == in_c */
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

/* gw = sum over pixels of gy * (x - x_zero), scaled and applied at once, output channel by output channel. */
typedef struct kg_conv2d_grad_weights_args {
  kg_ref gy;          /* int8 error [out_h][out_w][out_c] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref x;           /* int8 [in_h][in_w][live_c]: the saved input, live channels only */
  kg_ref w_live;      /* int8 [out_c][k_h][k_w][live_c], updated; none under gradient accumulation */
  kg_ref scratch;     /* int32 [live_c] */
  kg_update update;
  kg_conv2d_shape shape;
  int32_t x_zero;
  int32_t w_min, w_max; /* range of a learned weight, int8 */
} kg_conv2d_grad_weights_args;

void kg_conv2d_grad_weights_ref_s8(const kg_conv2d_grad_weights_args *args, const kg_memory *mem);
int32_t kg_conv2d_grad_weights_check(const kg_conv2d_grad_weights_args *args, kg_check *c);

#endif
