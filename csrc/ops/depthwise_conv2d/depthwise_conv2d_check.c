#include "../../common/window.h"
#include "depthwise_conv2d_dsp.h"

static void check_shape(const kg_depthwise_shape *s, kg_check *c) {
  kg_check_window(c, s->in_h, s->out_h, s->k_h, s->stride_h, s->dilation_h, s->pad_top);
  kg_check_window(c, s->in_w, s->out_w, s->k_w, s->stride_w, s->dilation_w, s->pad_left);
  kg_check_range(c, s->in_c, 1, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->multiplier, 1, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, kg_check_mul(c, s->in_c, s->multiplier), 1, KG_WINDOW_MAX_SIZE);
  if (!c->ok) return;
  kg_check_range(c, s->live_c, 0, s->in_c * s->multiplier);
  kg_check_range(c, s->live_c % s->multiplier, 0, 0);
}

static void check_weights(const kg_depthwise_shape *s, kg_check *c, kg_ref w_frozen, kg_ref w_live) {
  const int32_t out_c = s->in_c * s->multiplier;
  if (s->live_c < out_c) kg_check_read(c, w_frozen, kg_check_mul3(c, s->k_h, s->k_w, out_c - s->live_c), 1);
  if (s->live_c > 0) kg_check_read(c, w_live, kg_check_mul3(c, s->k_h, s->k_w, s->live_c), 1);
}

int32_t kg_depthwise_conv2d_check(const kg_depthwise_conv2d_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  const int32_t out_c = s->in_c * s->multiplier;
  int64_t outputs = kg_check_mul3(c, s->out_h, s->out_w, out_c);
  kg_check_range(c, kg_check_mul(c, s->k_h, s->k_w), 1, 32768); /* |sum| <= 32768 * 255 * 255 < 2^31 */
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->w_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  check_weights(s, c, a->w_frozen, a->w_live);
  kg_check_read_opt(c, a->bias, 4 * (int64_t)out_c, 4);
  kg_check_requantize(c, a->multiplier, a->shift, out_c);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_depthwise_conv2d_grad_input_check(const kg_depthwise_conv2d_grad_input_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  const int32_t out_c = s->in_c * s->multiplier;
  kg_check_s8(c, a->w_zero);
  kg_check_fold(c, a->fold, out_c, a->fold_exponent, a->fold_shift, kg_check_mul3(c, s->multiplier, s->k_h, s->k_w), a->w_zero);
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul3(c, s->out_h, s->out_w, out_c));
  check_weights(s, c, a->w_frozen, a->w_live);
  kg_check_error_out(c, &a->gx, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_depthwise_conv2d_grad_weights_check(const kg_depthwise_conv2d_grad_weights_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  const int32_t out_c = s->in_c * s->multiplier;
  kg_check_range(c, kg_check_mul(c, s->out_h, s->out_w), 1, 65536); /* |sum| <= 65536 * 127 * 255 < 2^31 */
  kg_check_range(c, s->live_c, 1, out_c);
  kg_check_s8(c, a->x_zero);
  kg_check_clamp(c, a->w_min, a->w_max);
  if (!c->ok) return 0;
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul3(c, s->out_h, s->out_w, out_c));
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->live_c / s->multiplier), 1);
  kg_check_update(c, &a->update, a->w_live, kg_check_mul3(c, s->k_h, s->k_w, s->live_c), s->live_c);
  return kg_check_end(c);
}

static int32_t check_dsp(const kg_depthwise_conv2d_dsp_args *a, kg_check *c, int32_t whole) {
  const kg_depthwise_shape shape = kg_depthwise_dsp_shape(a), *s = &shape;
  check_shape(s, c);
  kg_check_range(c, a->swapped, 0, 1);
  if (!c->ok) return 0;
  kg_check_range(c, s->in_c, KG_DEPTHWISE_CHANNELS, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->multiplier, 1, 1);
  kg_check_range(c, s->live_c, 0, 0);
  kg_check_range(c, s->dilation_h, 1, 1);
  kg_check_range(c, s->dilation_w, 1, 1);
  kg_check_range(c, s->stride_w, 1, 2);
  kg_check_range(c, s->k_w, 1, KG_DEPTHWISE_MAX_TAPS);
  kg_check_range(c, a->whole, whole, whole);
  kg_check_range(c, a->rectified, whole, 1);
  kg_check_s8(c, a->x_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  if (whole) {
    kg_check_range(c, s->k_h, 3, 3);
    kg_check_range(c, s->k_w, 3, 3);
    kg_check_range(c, s->stride_h, s->stride_w, s->stride_w);
  }
  kg_check_range(c, a->block_h, 1, s->out_h);
  kg_check_range(c, a->block_w, 1, s->out_w);
  if (a->block_h < s->out_h) kg_check_range(c, a->block_h * s->stride_h % 2, 0, 0);
  if (!c->ok) return 0;
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), 1);
  kg_check_read(c, a->stream, kg_check_mul3(c, 4, s->in_c, kg_depthwise_dsp_record(s, whole)), 4);
  const int64_t strip = 4 * KG_DEPTHWISE_CHANNELS * (int64_t)kg_depthwise_dsp_columns(s, a->block_w);
  const int64_t planes = kg_check_mul(c, strip, kg_depthwise_dsp_strips(s, a->block_h));
  kg_check_write(c, a->scratch, planes + kg_depthwise_dsp_pairs(s), 4, KG_REF_NONE);
  kg_check_write(c, a->y, kg_check_mul3(c, s->out_h, s->out_w, s->in_c), 1, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_depthwise_conv2d_dsp_check(const kg_depthwise_conv2d_dsp_args *a, kg_check *c) { return check_dsp(a, c, 0); }

int32_t kg_depthwise_conv2d_dsp3x3_check(const kg_depthwise_conv2d_dsp_args *a, kg_check *c) { return check_dsp(a, c, 1); }
