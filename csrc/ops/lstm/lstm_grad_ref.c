#include <string.h>

#include "lstm.h"

enum { ONE = 1 << 15, FOLD_BITS = 14, EXTRA = 16, LIMIT = 1 << 30 };

static int32_t saturate(int64_t v) { return v > LIMIT ? LIMIT : v < -LIMIT ? -LIMIT : (int32_t)v; }

/* v * factor * 2^-shift, rounded. */
static int32_t scaled(int32_t v, int32_t factor, int32_t shift) { return saturate(kg_round_shr_s64((int64_t)v * factor, shift)); }

/* p (1 - p) and 1 - p^2, 15 fraction bits. */
static int32_t sigmoid_slope(int32_t p) { return (int32_t)kg_round_shr_s64((int64_t)p * (ONE - p), 15); }
static int32_t tanh_slope(int32_t p) { return ONE - (int32_t)kg_round_shr_s64((int64_t)p * p, 15); }

/* Errors of the four sums of unit `u` from the error `dh` of its result; `dc` is the error of its cell, in and out. */
static void unit_errors(const kg_lstm_grad_args *a, const int16_t *saved, int32_t u, int32_t dh, int32_t *dc, int32_t *dz) {
  const int32_t n = a->units;
  const int32_t i = saved[u], f = saved[n + u], g = saved[2 * n + u], o = saved[3 * n + u];
  const int32_t old = saved[4 * n + u], t = saved[5 * n + u];
  const int32_t c = saturate((int64_t)*dc + scaled(scaled(dh, o, 15), tanh_slope(t), 15));
  dz[u] = scaled(scaled(c, g, 15), sigmoid_slope(i), 15);
  dz[n + u] = scaled(scaled(c, old, 15 - a->cell_bits), sigmoid_slope(f), 15);
  dz[2 * n + u] = scaled(scaled(c, i, 15), tanh_slope(g), 15);
  dz[3 * n + u] = scaled(scaled(dh, t, 15), sigmoid_slope(o), 15);
  *dc = scaled(c, f, 15);
}

/* Error of the hidden state from those of the sums: sum over gates and units of dz r, scales included. */
static void hidden_errors(const kg_lstm_grad_args *a, const int8_t *r, const int32_t *dz, int32_t *dh) {
  const int32_t n = a->units;
  for (int32_t v = 0; v < n; ++v) {
    int64_t acc = 0;
    for (int32_t row = 0; row < KG_LSTM_GATES * n; ++row)
      acc += kg_round_shr_s64((int64_t)dz[row] * a->fold[row / n], FOLD_BITS) * r[row * n + v];
    dh[v] = saturate(kg_scale_pow2_s64(acc, FOLD_BITS - a->fold_exponent));
  }
}

void kg_lstm_grad_ref_s16(const kg_lstm_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy), *r = (const int8_t *)kg_in(mem, a->r);
  const int16_t *gates = (const int16_t *)kg_in(mem, a->gates);
  const int32_t n = a->units;
  int32_t *dz = (int32_t *)kg_out(mem, a->scratch), *dh = dz + KG_LSTM_GATES * n, *dc = dh + n;
  kg_error_writer w = kg_error_begin(mem, &a->gz, kg_error_exponent(mem, a->gy_exponent) - EXTRA);

  for (int32_t b = 0; b < a->batch; ++b) {
    memset(dh, 0, 8 * (size_t)n); /* dh and dc */
    for (int32_t t = a->steps - 1; t >= 0; --t) {
      const int32_t row = a->time_major ? t * a->batch + b : b * a->steps + t;
      for (int32_t u = 0; u < n; ++u) {
        const int32_t error = saturate((int64_t)gy[row * n + u] * (1 << EXTRA) + dh[u]);
        unit_errors(a, gates + row * KG_LSTM_SAVED * n, u, error, dc + u, dz);
      }
      for (int32_t i = 0; i < KG_LSTM_GATES * n; ++i) kg_error_put(&w, row * KG_LSTM_GATES * n + i, dz[i]);
      hidden_errors(a, r, dz, dh);
    }
  }
  kg_error_end(&w);
}
