#include "lstm.h"

#include <string.h>

#include "../../common/dot.h"
#include "../../common/sigmoid_s16.h"

/* Sum of gate `g` of unit `u`: both terms, each saturated. */
static int32_t gate_sum(const kg_lstm_args *a, const kg_memory *mem, const int8_t *x, const int8_t *h, int32_t g, int32_t u) {
  const int32_t row = g * a->units + u;
  const int8_t *w = (const int8_t *)kg_in(mem, a->w) + row * a->in;
  const int8_t *r = (const int8_t *)kg_in(mem, a->r) + row * a->units;
  const int32_t bias = ((const int32_t *)kg_in(mem, a->bias))[row];
  const int32_t input = kg_requantize(kg_add_wrap(bias, kg_dot_s8(x, w, a->in, a->x_zero, 0)), a->x_multiplier[g], a->x_shift[g]);
  const int32_t recurrent = kg_requantize(kg_dot_s8(h, r, a->units, a->y_zero, 0), a->r_multiplier[g], a->r_shift[g]);
  return kg_sat_s16(kg_sat_s32((int64_t)kg_sat_s16(input) + recurrent));
}

/* One step of unit `u`; `saved` is [6][units] or NULL. */
static int8_t step(const kg_lstm_args *a, const kg_memory *mem, const int8_t *x, const int8_t *h, int16_t *cell, int16_t *saved,
                   int32_t u) {
  const int32_t i = kg_sigmoid_s16(gate_sum(a, mem, x, h, 0, u)), f = kg_sigmoid_s16(gate_sum(a, mem, x, h, 1, u));
  const int32_t g = kg_tanh_s16(gate_sum(a, mem, x, h, 2, u), 3), o = kg_sigmoid_s16(gate_sum(a, mem, x, h, 3, u));
  const int32_t old = cell[u];
  int32_t c = kg_sat_s16(kg_rounding_shr(f * old, 15) + kg_wrap_s16(kg_rounding_shr(i * g, 15 + a->cell_bits)));
  if (a->cell_clip > 0) c = kg_clamp_s32(c, -a->cell_clip, a->cell_clip);
  const int32_t t = kg_tanh_s16(c, a->cell_bits);
  cell[u] = (int16_t)c;
  if (saved) {
    const int32_t values[KG_LSTM_SAVED] = {i, f, g, o, old, t};
    for (int32_t k = 0; k < KG_LSTM_SAVED; ++k) saved[k * a->units + u] = (int16_t)values[k];
  }
  return (int8_t)kg_clamp_s32(kg_add_wrap(kg_requantize(o * t, a->y_multiplier, a->y_shift), a->y_zero), -128, 127);
}

void kg_lstm_ref_s8(const kg_lstm_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  int8_t *y = (int8_t *)kg_out(mem, a->y), *hidden = (int8_t *)kg_out(mem, a->hidden);
  int8_t *before = (int8_t *)kg_out(mem, a->before);
  int16_t *cell = (int16_t *)kg_out(mem, a->cell), *gates = (int16_t *)kg_out(mem, a->gates);
  const int32_t units = a->units;

  for (int32_t b = 0; b < a->batch; ++b, hidden += units, cell += units) {
    const int8_t *h = hidden;
    for (int32_t t = 0; t < a->steps; ++t) {
      const int32_t row = a->time_major ? t * a->batch + b : b * a->steps + t;
      int16_t *saved = gates ? gates + row * KG_LSTM_SAVED * units : NULL;
      for (int32_t u = 0; u < units; ++u) y[row * units + u] = step(a, mem, x + row * a->in, h, cell, saved, u);
      if (before) memcpy(before + row * units, h, (size_t)units);
      h = y + row * units;
    }
    memcpy(hidden, h, (size_t)units);
  }
}
