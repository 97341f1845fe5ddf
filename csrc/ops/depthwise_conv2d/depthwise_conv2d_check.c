#include "depthwise_conv2d.h"

/* Sizes are sane and every tap reads inside or beside the input. */
static void check_shape(const kg_depthwise_shape *s, kg_check *c) {
  const int32_t limit = 1 << 16;
  kg_check_range(c, s->in_h, 1, limit);
  kg_check_range(c, s->in_w, 1, limit);
  kg_check_range(c, s->in_c, 1, limit);
  kg_check_range(c, s->out_h, 1, limit);
  kg_check_range(c, s->out_w, 1, limit);
  kg_check_range(c, s->multiplier, 1, limit);
  kg_check_range(c, s->k_h, 1, 1024);
  kg_check_range(c, s->k_w, 1, 1024);
  kg_check_range(c, s->stride_h, 1, 1024);
  kg_check_range(c, s->stride_w, 1, 1024);
  kg_check_range(c, s->dilation_h, 1, 1024);
  kg_check_range(c, s->dilation_w, 1, 1024);
  kg_check_range(c, s->pad_top, 0, limit);
  kg_check_range(c, s->pad_left, 0, limit);
  kg_check_range(c, kg_check_mul(c, s->in_c, s->multiplier), 1, limit);
  if (!c->ok) return;
  kg_check_range(c, s->live_c, 0, s->in_c * s->multiplier);
  kg_check_range(c, s->live_c % s->multiplier, 0, 0);
}

static int64_t mul3(kg_check *c, int64_t x, int64_t y, int64_t z) { return kg_check_mul(c, kg_check_mul(c, x, y), z); }

static void check_weights(const kg_depthwise_shape *s, kg_check *c, kg_ref w_frozen, kg_ref w_live) {
  const int32_t out_c = s->in_c * s->multiplier;
  if (s->live_c < out_c) kg_check_read(c, w_frozen, mul3(c, s->k_h, s->k_w, out_c - s->live_c), 1);
  if (s->live_c > 0) kg_check_read(c, w_live, mul3(c, s->k_h, s->k_w, s->live_c), 1);
}

int32_t kg_depthwise_conv2d_check(const kg_depthwise_conv2d_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  const int32_t out_c = s->in_c * s->multiplier;
  int64_t outputs = mul3(c, s->out_h, s->out_w, out_c);
  kg_check_range(c, kg_check_mul(c, s->k_h, s->k_w), 1, 32768); /* |sum| <= 32768 * 255 * 255 < 2^31 */
  kg_check_range(c, a->x_zero, -128, 127);
  kg_check_range(c, a->w_zero, -128, 127);
  kg_check_range(c, a->y_zero, -128, 127);
  kg_check_range(c, a->y_min, -128, a->y_max);
  kg_check_range(c, a->y_max, a->y_min, 127);
  kg_check_read(c, a->x, mul3(c, s->in_h, s->in_w, s->in_c), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  check_weights(s, c, a->w_frozen, a->w_live);
  kg_check_read_opt(c, a->bias, 4 * (int64_t)out_c, 4);
  kg_check_read(c, a->multiplier, 4 * (int64_t)out_c, 4);
  kg_check_table_s8(c, a->shift, out_c, -31, 30);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_depthwise_conv2d_grad_input_check(const kg_depthwise_conv2d_grad_input_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  const int32_t out_c = s->in_c * s->multiplier;
  kg_check_range(c, a->w_zero, -128, 127);
  kg_check_range(c, a->fold_exponent, -100, 100);
  kg_check_range(c, a->fold_shift, 6, 20);
  if (!c->ok) return 0;
  /* |folded| <= 128 * 2^(14 - fold_shift) + 1; the sum of multiplier * k_h * k_w products with |w - w_zero| <= 255 fits an int32 */
  int64_t folded = ((128 << 14) >> a->fold_shift) + 1;
  kg_check_range(c, mul3(c, s->multiplier, s->k_h, s->k_w) * folded * (a->w_zero ? 255 : 128), 0, INT32_MAX);
  kg_check_read(c, a->gy, mul3(c, s->out_h, s->out_w, out_c), 1);
  kg_check_read(c, a->gy_exponent, (int64_t)sizeof(kg_exponent), 4);
  check_weights(s, c, a->w_frozen, a->w_live);
  kg_check_table_s32(c, a->fold, out_c, 0, 1 << 14);
  kg_check_error_out(c, &a->gx, mul3(c, s->in_h, s->in_w, s->in_c), KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_depthwise_conv2d_grad_weights_check(const kg_depthwise_conv2d_grad_weights_args *a, kg_check *c) {
  const kg_depthwise_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  const int32_t out_c = s->in_c * s->multiplier;
  kg_check_range(c, mul3(c, s->out_h, s->out_w, 1), 1, 65536); /* |sum| <= 65536 * 127 * 255 < 2^31 */
  kg_check_range(c, s->live_c, 1, out_c);
  kg_check_range(c, a->x_zero, -128, 127);
  kg_check_range(c, a->w_min, -128, a->w_max);
  kg_check_range(c, a->w_max, a->w_min, 127);
  if (!c->ok) return 0;
  kg_check_read(c, a->gy, mul3(c, s->out_h, s->out_w, out_c), 1);
  kg_check_read(c, a->gy_exponent, (int64_t)sizeof(kg_exponent), 4);
  kg_check_read(c, a->x, mul3(c, s->in_h, s->in_w, s->live_c / s->multiplier), 1);
  kg_check_update(c, &a->update, a->w_live, mul3(c, s->k_h, s->k_w, s->live_c), s->live_c);
  return kg_check_end(c);
}
