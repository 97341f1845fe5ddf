#include "../../common/window.h"
#include "depthwise_conv2d_learn.h"

/* Shape and scratch; `from` pixels are read, `height` times `width` are written. */
static void check_common(kg_check *c, const kg_depthwise_shape *s, kg_ref scratch, int32_t block, int32_t backward) {
  kg_check_window(c, s->in_h, s->out_h, s->k_h, s->stride_h, s->dilation_h, s->pad_top);
  kg_check_window(c, s->in_w, s->out_w, s->k_w, s->stride_w, s->dilation_w, s->pad_left);
  kg_check_range(c, s->in_c, 4, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->multiplier, 1, 1);
  kg_check_range(c, s->dilation_h, 1, 1);
  kg_check_range(c, s->dilation_w, 1, 1);
  kg_check_range(c, s->k_w, 1, KG_PLANES_TAPS);
  kg_check_range(c, block, 4, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->live_c, 0, s->in_c);
  if (!c->ok) return;
  kg_check_range(c, block % 4 + s->in_c % 4 + s->live_c % 4, 0, 0);
  const int64_t from = backward ? kg_check_mul(c, s->out_h, s->out_w) : kg_check_mul(c, s->in_h, s->in_w);
  const int32_t height = backward ? s->in_h : s->out_h, width = backward ? s->in_w : s->out_w;
  kg_check_range(c, from, 1, 1 << 20);
  if (c->ok) kg_check_write(c, scratch, kg_depthwise_scratch(s, from, height, width, block), 4, KG_REF_NONE);
}

static void check_weights(kg_check *c, const kg_depthwise_shape *s, kg_ref frozen, kg_ref live) {
  if (s->live_c < s->in_c) kg_check_read(c, frozen, kg_check_mul(c, 2, kg_check_mul3(c, s->k_h, s->k_w, s->in_c - s->live_c)), 4);
  if (s->live_c > 0) kg_check_read(c, live, kg_check_mul3(c, s->k_h, s->k_w, s->live_c), 1);
}

int32_t kg_depthwise_conv2d_learn_check(const kg_depthwise_conv2d_learn_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_common(c, s, a->scratch, a->block, 0);
  if (!c->ok) return 0;
  const int64_t outputs = kg_check_mul3(c, s->out_h, s->out_w, s->in_c);
  kg_check_range(c, s->in_c % 8 + a->block % 8, 0, 0);
  kg_check_range(c, a->odds, 0, s->in_c);
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  if (!c->ok) return 0;
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), 1);
  check_weights(c, s, a->w_frozen, a->w_live);
  kg_check_read_opt(c, a->bias, 4 * (int64_t)s->in_c, 4);
  kg_check_read(c, a->scaling, 12 * (int64_t)s->in_c, 4);
  if (a->odds > 0) kg_check_table_s32(c, a->odd, a->odds, 0, s->in_c - 1);
  kg_check_requantize(c, a->multiplier, a->shift, s->in_c);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_depthwise_conv2d_grad_input_dsp_check(const kg_depthwise_conv2d_grad_input_dsp_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_common(c, s, a->scratch, a->block, 1);
  kg_check_range(c, a->fold_exponent, -100, 100);
  kg_check_range(c, a->fold_shift, 6, 20);
  if (!c->ok) return 0;
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul3(c, s->out_h, s->out_w, s->in_c));
  check_weights(c, s, a->w_frozen, a->w_live);
  kg_check_read(c, a->fold, 2 * (int64_t)s->in_c, 4);
  kg_check_error_out(c, &a->gx, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), KG_REF_NONE);
  return kg_check_end(c);
}
