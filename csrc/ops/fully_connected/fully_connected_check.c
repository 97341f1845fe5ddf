#include "fully_connected.h"

int32_t kg_fully_connected_check(const kg_fully_connected_args *a, kg_check *c) {
  kg_check_range(c, a->rows, 1, 1 << 24);
  kg_check_range(c, a->in, 1, 32768); /* |sum| <= 32768 * 255 * 255 < 2^31 */
  kg_check_range(c, a->out, 1, 1 << 16);
  kg_check_range(c, a->live, 0, a->in);
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->w_zero);
  kg_check_s8(c, a->y_zero);
  kg_check_clamp(c, a->y_min, a->y_max);
  if (!c->ok) return 0;
  int64_t outputs = kg_check_mul(c, a->rows, a->out);
  kg_check_read(c, a->x, kg_check_mul(c, a->rows, a->in), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  if (a->live < a->in) kg_check_read(c, a->w_frozen, kg_check_mul(c, a->out, a->in - a->live), 1);
  if (a->live > 0) kg_check_read(c, a->w_live, kg_check_mul(c, a->out, a->live), 1);
  kg_check_read_opt(c, a->bias, 4 * (int64_t)a->out, 4);
  kg_check_requantize(c, a->multiplier, a->shift, a->out);
  kg_check_write_opt(c, a->mask, (outputs + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_fully_connected_dsp_check(const kg_fully_connected_dsp_args *a, kg_check *c) {
  kg_check_range(c, a->rows, 1, 1 << 24);
  kg_check_range(c, a->in, 1, 32768);
  kg_check_range(c, a->out, 1, 1 << 16);
  kg_check_clamp(c, a->y_min, a->y_max);
  if (!c->ok) return 0;
  const int64_t padded = ((int64_t)a->in + 15) / 16 * 16;
  kg_check_read(c, a->x, kg_check_mul(c, a->rows, a->in), 1);
  kg_check_read(c, a->stream, kg_check_mul(c, ((int64_t)a->out + 3) / 4, 64 + 4 * padded), 4);
  kg_check_write(c, a->scratch, 2 * padded, 4, KG_REF_NONE);
  kg_check_write(c, a->y, kg_check_mul(c, a->rows, a->out), 1, KG_REF_NONE);
  return kg_check_end(c);
}
