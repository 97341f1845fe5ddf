#include "lstm.h"

static void check_factor(kg_check *c, int32_t multiplier, int32_t shift) {
  kg_check_range(c, multiplier, 0, INT32_MAX);
  kg_check_range(c, shift, -31, 30);
}

/* Sizes that both kernels have. */
static void check_sizes(kg_check *c, int32_t batch, int32_t steps, int32_t units, int32_t time_major, int32_t cell_bits) {
  kg_check_range(c, batch, 1, 1 << 16);
  kg_check_range(c, steps, 1, 1 << 20);
  kg_check_range(c, units, 1, 1 << 13);
  kg_check_range(c, time_major, 0, 1);
  kg_check_range(c, cell_bits, 0, 6);
}

int32_t kg_lstm_check(const kg_lstm_args *a, kg_check *c) {
  check_sizes(c, a->batch, a->steps, a->units, a->time_major, a->cell_bits);
  kg_check_range(c, a->in, 1, 32768); /* |sum| <= 32768 * 255 * 128 < 2^31 */
  kg_check_range(c, a->cell_clip, 0, INT16_MAX);
  kg_check_s8(c, a->x_zero);
  kg_check_s8(c, a->y_zero);
  for (int32_t g = 0; g < KG_LSTM_GATES; ++g) {
    check_factor(c, a->x_multiplier[g], a->x_shift[g]);
    check_factor(c, a->r_multiplier[g], a->r_shift[g]);
  }
  check_factor(c, a->y_multiplier, a->y_shift);
  if (!c->ok) return 0;
  const int64_t rows = kg_check_mul(c, a->batch, a->steps), gates = kg_check_mul(c, KG_LSTM_GATES, a->units);
  const int64_t outputs = kg_check_mul(c, rows, a->units), places = kg_check_mul(c, a->batch, a->units);
  kg_check_read(c, a->x, kg_check_mul(c, rows, a->in), 1);
  kg_check_write(c, a->y, outputs, 1, KG_REF_NONE);
  kg_check_read(c, a->w, kg_check_mul(c, gates, a->in), 1);
  kg_check_read(c, a->r, kg_check_mul(c, gates, a->units), 1);
  kg_check_read(c, a->bias, 4 * gates, 4);
  kg_check_write(c, a->hidden, places, 1, KG_REF_NONE);
  kg_check_write(c, a->cell, 2 * places, 2, KG_REF_NONE);
  kg_check_write_opt(c, a->gates, kg_check_mul(c, outputs, 2 * KG_LSTM_SAVED), 2);
  kg_check_write_opt(c, a->before, outputs, 1);
  return kg_check_end(c);
}

int32_t kg_lstm_grad_check(const kg_lstm_grad_args *a, kg_check *c) {
  check_sizes(c, a->batch, a->steps, a->units, a->time_major, a->cell_bits);
  for (int32_t g = 0; g < KG_LSTM_GATES; ++g) kg_check_range(c, a->fold[g], 0, 1 << 14);
  kg_check_range(c, a->fold_exponent, 0, 128);
  if (!c->ok) return 0;
  const int64_t rows = kg_check_mul(c, a->batch, a->steps), outputs = kg_check_mul(c, rows, a->units);
  const int64_t gates = kg_check_mul(c, KG_LSTM_GATES, a->units);
  kg_check_error_in(c, a->gy, a->gy_exponent, outputs);
  kg_check_read(c, a->gates, kg_check_mul(c, outputs, 2 * KG_LSTM_SAVED), 2);
  kg_check_read(c, a->r, kg_check_mul(c, gates, a->units), 1);
  kg_check_write(c, a->scratch, 4 * (int64_t)KG_LSTM_SAVED * a->units, 4, KG_REF_NONE);
  kg_check_error_out(c, &a->gz, kg_check_mul(c, rows, gates), KG_REF_NONE);
  return kg_check_end(c);
}
