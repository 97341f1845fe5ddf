#include "softmax.h"

/* Function at v, from 512 values and the one behind them; results below zero are none that a table of ours has. */
static int32_t lookup(const int16_t *table, int32_t v) {
  const int32_t i = 256 + (v >> 7);
  const int32_t y = table[i] + (((table[i + 1] - table[i]) * (v & 127) + 64) >> 7);
  return kg_clamp_s32(y, 0, 32767);
}

/* exp((x - max) * scale * beta) in Q0.15: the table covers -10..0. */
static int32_t exponential(const kg_softmax_s16_args *a, const int16_t *table, int32_t difference) {
  const int32_t v = kg_add_wrap(kg_requantize(difference, a->multiplier, a->shift), 32767);
  return lookup(table, kg_clamp_s32(v, -32768, 32767));
}

void kg_softmax_ref_s16(const kg_softmax_s16_args *a, const kg_memory *mem) {
  const int16_t *exp_table = (const int16_t *)kg_in(mem, a->exp_table);
  const int16_t *inverse_table = (const int16_t *)kg_in(mem, a->inverse_table);
  for (int32_t r = 0; r < a->rows; ++r) {
    const int16_t *x = (const int16_t *)kg_in(mem, a->x) + r * a->depth;
    int16_t *y = (int16_t *)kg_out(mem, a->y) + r * a->depth;
    int32_t max = -32768, sum = 0;
    for (int32_t c = 0; c < a->depth; ++c) max = x[c] > max ? x[c] : max;
    for (int32_t c = 0; c < a->depth; ++c) {
      y[c] = (int16_t)exponential(a, exp_table, x[c] - max);
      sum += y[c];
    }
    if (sum < 16384) sum = 16384; /* the largest value alone gives more: a table that is none must do no harm */
    int32_t zeros = 0;
    while (((uint32_t)sum << zeros) < 0x80000000u) ++zeros;
    const int32_t unit = (int32_t)((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14); /* 1..2 as 2^16..2^17 */
    const int64_t inverse = lookup(inverse_table, kg_clamp_s32(unit - (1 << 15) - (1 << 16), -32768, 32767));
    const int32_t shift = 31 - zeros;
    for (int32_t c = 0; c < a->depth; ++c) {
      y[c] = (int16_t)kg_clamp_s32((int32_t)((y[c] * inverse + ((int64_t)1 << (shift - 1))) >> shift), 0, 32767);
    }
  }
}
