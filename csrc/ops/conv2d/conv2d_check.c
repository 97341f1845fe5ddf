#include "conv2d_dsp.h"

static void check_shape(const kg_conv2d_shape *s, kg_check *c) {
  kg_check_window(c, s->in_h, s->out_h, s->k_h, s->stride_h, s->dilation_h, s->pad_top);
  kg_check_window(c, s->in_w, s->out_w, s->k_w, s->stride_w, s->dilation_w, s->pad_left);
  kg_check_range(c, s->in_c, 1, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->out_c, 1, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, s->groups, 1, s->in_c);
  kg_check_range(c, s->transposed, 0, 1);
  if (!c->ok) return;
  kg_check_range(c, s->in_c % s->groups + s->out_c % s->groups, 0, 0);
  kg_check_range(c, s->live_c, 0, s->in_c / s->groups);
}

static int64_t weight_bytes(kg_check *c, const kg_conv2d_shape *s, int32_t channels) {
  return kg_check_mul(c, kg_check_mul3(c, s->out_c, s->k_h, s->k_w), channels);
}

static void check_weights(const kg_conv2d_shape *s, kg_check *c, kg_ref w_frozen, kg_ref w_live) {
  const int32_t frozen_c = s->in_c / s->groups - s->live_c;
  if (frozen_c > 0) kg_check_read(c, w_frozen, weight_bytes(c, s, frozen_c), 1);
  if (s->live_c > 0) kg_check_read(c, w_live, weight_bytes(c, s, s->live_c), 1);
}

int32_t kg_conv2d_check(const kg_conv2d_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  int64_t outputs = kg_check_mul3(c, s->out_h, s->out_w, s->out_c);
  kg_check_range(c, kg_check_mul3(c, s->k_h, s->k_w, s->in_c / s->groups), 1, 32768); /* |sum| <= 32768 * 255 * 255 < 2^31 */
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->w_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  check_weights(s, c, a->w_frozen, a->w_live);
  kg_check_read_opt(c, a->bias, 4 * (int64_t)s->out_c, 4);
  kg_check_requantize(c, a->multiplier, a->shift, s->out_c);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_conv2d_grad_input_check(const kg_conv2d_grad_input_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  kg_check_s8(c, a->w_zero);
  kg_check_fold(c, a->fold, s->out_c, a->fold_exponent, a->fold_shift, kg_check_mul3(c, s->out_c / s->groups, s->k_h, s->k_w),
                a->w_zero);
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul3(c, s->out_h, s->out_w, s->out_c));
  check_weights(s, c, a->w_frozen, a->w_live);
  kg_check_write(c, a->scratch, 4 * (int64_t)s->in_c, 4, KG_REF_NONE);
  kg_check_error_out(c, &a->gx, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_conv2d_grad_weights_check(const kg_conv2d_grad_weights_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  kg_check_range(c, kg_check_mul(c, s->out_h, s->out_w), 1, 65536); /* |sum| <= 65536 * 127 * 255 < 2^31 */
  kg_check_range(c, s->live_c, s->groups > 1 ? s->in_c / s->groups : 1, s->in_c);
  kg_check_s8(c, a->x_zero);
  kg_check_clamp(c, a->w_min, a->w_max);
  int64_t weights = weight_bytes(c, s, s->live_c);
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul3(c, s->out_h, s->out_w, s->out_c));
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->live_c * s->groups), 1);
  kg_check_write(c, a->scratch, 4 * (int64_t)s->live_c, 4, KG_REF_NONE);
  kg_check_update(c, &a->update, a->w_live, weights, s->out_c);
  return kg_check_end(c);
}

int32_t kg_conv2d_s16_check(const kg_conv2d_s16_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  const int32_t group_c = s->in_c / s->groups, wide = a->requantize <= KG_CONV2D_WIDE_ONCE;
  kg_check_range(c, kg_check_mul3(c, s->k_h, s->k_w, group_c), 1, 1 << 22); /* |sum| <= 2^22 * 2^15 * 255 < 2^47 */
  kg_check_range(c, s->live_c, 0, 0);
  kg_check_range(c, a->channels_last, 0, group_c == 1);
  kg_check_range(c, a->requantize, KG_CONV2D_WIDE, KG_CONV2D_ONCE);
  kg_check_s8(c, a->w_zero);
  kg_check_range(c, a->y_min, INT16_MIN, a->y_max);
  kg_check_range(c, a->y_max, a->y_min, INT16_MAX);
  if (!c->ok) return 0;
  kg_check_read(c, a->x, kg_check_mul(c, 2, kg_check_mul3(c, s->in_h, s->in_w, s->in_c)), 2);
  kg_check_write(c, a->y, kg_check_mul(c, 2, kg_check_mul3(c, s->out_h, s->out_w, s->out_c)), 2, KG_REF_NONE);
  kg_check_read(c, a->w, weight_bytes(c, s, group_c), 1);
  kg_check_read_opt(c, a->bias, (wide ? 8 : 4) * (int64_t)s->out_c, 4);
  kg_check_table_s32(c, a->multiplier, s->out_c, 0, INT32_MAX);
  kg_check_table_s8(c, a->shift, s->out_c, -31, wide ? 7 : 30);
  return kg_check_end(c);
}

static void check_parts(const kg_conv2d_dsp_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  kg_check_range(c, a->tile, KG_CONV2D_DSP_TILE, KG_CONV2D_DSP_TILE);
  kg_check_range(c, (int64_t)s->out_h * s->out_w, KG_CONV2D_DSP_TILE, INT32_MAX);
  kg_check_range(c, kg_conv2d_dsp_row(s) % 4 + a->chunk % 4 + s->out_c % 2 + a->block % 2, 0, 0);
  kg_check_range(c, a->block, 2, KG_WINDOW_MAX_SIZE);
}

int32_t kg_conv2d_dsp_check(const kg_conv2d_dsp_args *a, kg_check *c) {
  const kg_conv2d_shape *s = &a->shape;
  check_shape(s, c);
  if (!c->ok) return 0;
  kg_check_range(c, s->groups, 1, 1);
  kg_check_range(c, s->transposed, 0, 0);
  kg_check_range(c, s->live_c, 0, 0);
  kg_check_range(c, a->tile, 1, KG_CONV2D_DSP_TILE);
  kg_check_range(c, a->tile % 3, 1, 1);
  kg_check_range(c, a->form, 0, KG_GEMM_FORMS - 1);
  kg_check_s8(c, a->x_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  kg_check_range(c, kg_check_mul3(c, s->k_h, s->k_w, s->in_c), 1, 32768);
  if (!c->ok) return 0;
  const int64_t inputs = kg_conv2d_dsp_inputs(s);
  kg_check_range(c, a->chunk, 4, inputs);
  kg_check_range(c, kg_check_mul(c, s->out_c, inputs), 1, KG_CONV2D_DSP_WEIGHTS_MAX);
  kg_check_range(c, a->block, 0, KG_WINDOW_MAX_SIZE);
  if (a->chunk < inputs) check_parts(a, c);
  if (!c->ok) return 0;
  const int64_t sums = a->chunk < inputs ? 16 * (int64_t)a->block : 0;
  const int64_t lines = kg_conv2d_dsp_copies(s) ? (int64_t)a->tile * kg_conv2d_dsp_row(s) : 0;
  kg_check_read(c, a->x, kg_check_mul3(c, s->in_h, s->in_w, s->in_c), 1);
  kg_check_read(c, a->stream, kg_check_mul(c, (s->out_c + 1) / 2 * 2, 16 + inputs), 4);
  kg_check_write(c, a->scratch, 2 * (int64_t)a->tile * a->chunk + sums + lines, 4, KG_REF_NONE);
  kg_check_write(c, a->y, kg_check_mul3(c, s->out_h, s->out_w, s->out_c), 1, KG_REF_NONE);
  return kg_check_end(c);
}
