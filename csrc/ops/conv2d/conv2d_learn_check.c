#include "conv2d_learn.h"

/* What both kernels want of the shape: no groups, channels in fours, memory for `pairs` inputs and `block` channels. */
static void check_common(kg_check *c, const kg_conv2d_shape *s, int32_t pairs, int32_t block) {
  kg_check_window(c, s->in_h, s->out_h, s->k_h, s->stride_h, s->dilation_h, s->pad_top);
  kg_check_window(c, s->in_w, s->out_w, s->k_w, s->stride_w, s->dilation_w, s->pad_left);
  kg_check_range(c, s->in_c, 4, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->out_c, 4, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->groups, 1, 1);
  kg_check_range(c, s->transposed, 0, 0);
  kg_check_range(c, pairs, 2, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, block, 4, KG_WINDOW_MAX_SIZE);
  if (!c->ok) return;
  kg_check_range(c, s->in_c % 4 + s->live_c % 4 + s->out_c % 4 + pairs % 2, 0, 0);
  kg_check_range(c, s->live_c, 0, s->in_c);
}

int32_t kg_conv2d_learn_check(const kg_conv2d_learn_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_common(c, s, a->pairs, a->block);
  if (!c->ok) return 0;
  const int64_t taps = kg_check_mul(c, s->k_h, s->k_w), outputs = kg_check_mul3(c, s->out_h, s->out_w, s->out_c);
  kg_check_range(c, kg_check_mul(c, taps, s->in_c), 1, 32768); /* |sum| <= 32768 * 255 * 128 < 2^31 */
  kg_check_range(c, kg_check_mul(c, s->out_h, s->out_w), KG_SUMS_PIXELS, INT32_MAX);
  kg_check_range(c, s->out_c % 8 + a->block % 8, 0, 0);
  kg_check_range(c, a->odds, 0, s->out_c);
  kg_check_range(c, a->held, 0, 1);
  if (a->held == 1) kg_check_range(c, kg_check_mul(c, taps, s->live_c), 4, 2 * a->pairs);
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  if (!c->ok) return 0;
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), 1);
  if (s->live_c < s->in_c) kg_check_read(c, a->w_frozen, kg_check_mul3(c, s->out_c, taps, s->in_c - s->live_c), 4);
  if (s->live_c > 0) kg_check_read(c, a->w_live, kg_check_mul3(c, s->out_c, taps, s->live_c), 1);
  kg_check_read_opt(c, a->bias, 4 * (int64_t)s->out_c, 4);
  kg_check_read(c, a->scaling, 12 * (int64_t)s->out_c, 4);
  if (a->odds > 0) kg_check_table_s32(c, a->odd, a->odds, 0, s->out_c - 1);
  kg_check_requantize(c, a->multiplier, a->shift, s->out_c);
  kg_check_write(c, a->scratch, kg_conv2d_learn_scratch(a), 4, KG_REF_NONE);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_conv2d_grad_input_dsp_check(const kg_conv2d_grad_input_dsp_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_common(c, s, a->pairs, a->block);
  if (!c->ok) return 0;
  const int64_t taps = kg_check_mul(c, s->k_h, s->k_w);
  kg_check_range(c, kg_check_mul(c, taps, s->out_c), 1, 1 << 20);
  kg_check_range(c, kg_check_mul(c, s->in_h, s->in_w), KG_SUMS_PIXELS, INT32_MAX);
  kg_check_range(c, a->block % 4, 0, 0);
  kg_check_range(c, a->fold_exponent, -100, 100);
  kg_check_range(c, a->fold_shift, 6, 20);
  if (!c->ok) return 0;
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul3(c, s->out_h, s->out_w, s->out_c));
  if (s->live_c < s->in_c) kg_check_read(c, a->w_frozen, kg_check_mul3(c, s->out_c, taps, s->in_c - s->live_c), 4);
  if (s->live_c > 0) kg_check_read(c, a->w_live, kg_check_mul3(c, s->out_c, taps, s->live_c), 1);
  kg_check_read(c, a->fold, 2 * (int64_t)s->out_c, 4);
  kg_check_write(c, a->scratch, kg_conv2d_grad_scratch(a), 4, KG_REF_NONE);
  kg_check_error_out(c, &a->gx, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_conv2d_grad_weights_dsp_check(const kg_conv2d_grad_weights_dsp_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_common(c, s, 2, a->block);
  kg_check_range(c, a->pairs, 1, KG_WINDOW_MAX_SIZE);
  if (!c->ok) return 0;
  kg_check_range(c, kg_check_mul(c, s->out_h, s->out_w), 1, 65536); /* |sum| <= 65536 * 127 * 255 < 2^31 */
  kg_check_range(c, s->live_c, 4, s->in_c);
  kg_check_range(c, a->block % 4, 0, 0);
  kg_check_s8(c, a->x_zero);
  kg_check_clamp(c, a->w_min, a->w_max);
  if (!c->ok) return 0;
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul3(c, s->out_h, s->out_w, s->out_c));
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->live_c), 1);
  kg_check_write(c, a->scratch, kg_conv2d_grad_weights_scratch(a), 4, KG_REF_NONE);
  kg_check_update(c, &a->update, a->w_live, kg_check_mul(c, kg_check_mul3(c, s->out_c, s->k_h, s->k_w), s->live_c), s->out_c);
  return kg_check_end(c);
}
