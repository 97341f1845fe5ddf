#include "bias.h"

int32_t kg_bias_delta_check(const kg_bias_delta_args *a, kg_check *c) {
  kg_check_range(c, a->channels, 1, 1 << 16);
  kg_check_range(c, a->u, 0, 15);
  kg_check_read(c, a->b0, 4 * (int64_t)a->channels, 4);
  kg_check_read(c, a->delta, 2 * (int64_t)a->channels, 2);
  kg_check_write(c, a->b, 4 * (int64_t)a->channels, 4, KG_REF_NONE);
  return kg_check_end(c);
}

/* `bytes` is the size of one stored bias. */
static int32_t check_grad(const kg_bias_grad_args *a, kg_check *c, int32_t bytes) {
  const kg_update *u = &a->update;
  const int64_t channels = a->channels;
  kg_check_range(c, a->channels, 1, 1 << 16);
  kg_check_range(c, a->pixels, 1, 1 << 23); /* |sum| <= 2^23 * 128 < 2^31 */
  if (!c->ok) return 0;
  kg_check_range(c, u->fraction, KG_REF_NONE, KG_REF_NONE);
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul(c, a->pixels, channels));
  kg_check_update_rates(c, u, a->channels);
  if (u->pending != KG_REF_NONE)
    kg_check_write(c, u->pending, 4 * channels, 4, KG_REF_NONE);
  else
    kg_check_write(c, a->bias, bytes * channels, (uint32_t)bytes, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_bias_grad_s32_check(const kg_bias_grad_args *a, kg_check *c) {
  kg_check_range(c, a->limit, 0, INT32_MAX);
  return check_grad(a, c, 4);
}

int32_t kg_bias_grad_s16_check(const kg_bias_grad_args *a, kg_check *c) {
  kg_check_range(c, a->limit, 0, INT16_MAX);
  return check_grad(a, c, 2);
}

int32_t kg_bias_grad_dsp_s32_check(const kg_bias_grad_args *a, kg_check *c) {
  kg_check_range(c, a->channels % 4, 0, 0);
  return kg_bias_grad_s32_check(a, c);
}

int32_t kg_bias_grad_dsp_s16_check(const kg_bias_grad_args *a, kg_check *c) {
  kg_check_range(c, a->channels % 4, 0, 0);
  return kg_bias_grad_s16_check(a, c);
}
