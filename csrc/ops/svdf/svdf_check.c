#include "svdf.h"

/* A factor of kg_requantize that is a field and no table. */
static void check_factor(kg_check *c, int32_t multiplier, int32_t shift) {
  kg_check_range(c, multiplier, 0, INT32_MAX);
  kg_check_range(c, shift, -31, 30);
}

/* `width` is the size in bytes of a time weight and of a place of the state. */
static int32_t check(const kg_svdf_args *a, kg_check *c, uint32_t width) {
  kg_check_range(c, a->batch, 1, 1 << 16);
  kg_check_range(c, a->in, 1, 32768); /* |sum| <= 32768 * 255 * 128 < 2^31 */
  kg_check_range(c, a->units, 1, 1 << 16);
  kg_check_range(c, a->rank, 1, 1 << 10);
  kg_check_range(c, a->memory, 1, 1 << 16);
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->state_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  check_factor(c, a->state_multiplier, a->state_shift);
  check_factor(c, a->y_multiplier, a->y_shift);
  if (!c->ok) return 0;
  const int64_t outputs = kg_check_mul(c, a->batch, a->units), filters = kg_check_mul(c, a->units, a->rank);
  const int64_t places = kg_check_mul(c, filters, a->memory);
  kg_check_read(c, a->x, kg_check_mul(c, a->batch, a->in), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  kg_check_read(c, a->feature, kg_check_mul(c, filters, a->in), 1);
  kg_check_read(c, a->time, kg_check_mul(c, places, width), width);
  kg_check_read_opt(c, a->bias, 4 * (int64_t)a->units, 4);
  kg_check_write(c, a->state, kg_check_mul3(c, a->batch, places, width), width, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_svdf_s16_check(const kg_svdf_args *a, kg_check *c) { return check(a, c, 2); }

int32_t kg_svdf_s8_check(const kg_svdf_args *a, kg_check *c) { return check(a, c, 1); }

int32_t kg_svdf_grad_newest_check(const kg_svdf_grad_newest_args *a, kg_check *c) {
  kg_check_range(c, a->batch, 1, 1 << 16);
  kg_check_range(c, a->units, 1, 1 << 16);
  kg_check_range(c, a->rank, 1, 1 << 10);
  kg_check_range(c, a->memory, 1, 1 << 16);
  kg_check_range(c, a->fold, 0, 1 << 14);
  kg_check_range(c, a->fold_exponent, -128, 128);
  if (!c->ok) return 0;
  const int64_t filters = kg_check_mul(c, a->units, a->rank), places = kg_check_mul(c, filters, a->memory);
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul(c, a->batch, a->units));
  kg_check_read(c, a->time, kg_check_mul(c, places, 2), 2);
  kg_check_read(c, a->state, kg_check_mul3(c, a->batch, places, 2), 2);
  kg_check_error_out(c, &a->gx, kg_check_mul(c, a->batch, filters), KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_svdf_grad_time_check(const kg_svdf_grad_time_args *a, kg_check *c) {
  const kg_update *u = &a->update;
  kg_check_range(c, a->batch, 1, 256); /* |sum| <= 256 * 128 * 32768 < 2^31 */
  kg_check_range(c, a->units, 1, 1 << 16);
  kg_check_range(c, a->rank, 1, 1 << 10);
  kg_check_range(c, a->memory, 1, 1 << 16);
  if (!c->ok) return 0;
  const int64_t filters = kg_check_mul(c, a->units, a->rank), places = kg_check_mul(c, filters, a->memory);
  kg_check_range(c, u->fraction, KG_REF_NONE, KG_REF_NONE);
  kg_check_error_in(c, a->gy, a->gy_exponent, kg_check_mul(c, a->batch, a->units));
  kg_check_read(c, a->state, kg_check_mul3(c, a->batch, places, 2), 2);
  if (!c->ok) return 0;
  kg_check_update_rates(c, u, (int32_t)filters);
  if (u->pending != KG_REF_NONE)
    kg_check_write(c, u->pending, kg_check_mul(c, places, 4), 4, KG_REF_NONE);
  else
    kg_check_write(c, a->time, kg_check_mul(c, places, 2), 2, KG_REF_NONE);
  return kg_check_end(c);
}
