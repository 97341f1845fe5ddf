#include "softmax.h"

/* What turns the exponentials of a row into probabilities: a factor (Q0.31) and a shift. */
typedef struct row_scale {
  int32_t max, factor, shift;
} row_scale;

/* Scale of one row for results with `bits` bits. */
static row_scale scale_of(const int8_t *x, const int32_t *table, int32_t depth, int32_t bits) {
  int32_t max = -128, sum = 0;
  for (int32_t c = 0; c < depth; ++c) max = x[c] > max ? x[c] : max;
  for (int32_t c = 0; c < depth; ++c) sum += kg_rounding_shr(table[max - x[c]], 12);
  if (sum < 1) sum = 1; /* a table that is none must do no harm */
  int32_t zeros = 0;    /* leading zeros of the sum, at least 1 */
  while (((uint32_t)sum << zeros) < 0x80000000u) ++zeros;
  const int32_t shift = 12 - zeros + 31 - bits;
  row_scale s = {max, kg_one_over_one_plus((int32_t)(((uint32_t)sum << zeros) - 0x80000000u)), shift > 0 ? shift : 0};
  return s;
}

static int32_t probability(const row_scale *s, const int32_t *table, int32_t x) {
  return s->shift > 31 ? 0 : kg_rounding_shr(kg_doubling_high_mul(s->factor, table[s->max - x]), s->shift);
}

void kg_softmax_ref_s8(const kg_softmax_args *a, const kg_memory *mem) {
  const int32_t *table = (const int32_t *)kg_in(mem, a->table);
  for (int32_t r = 0; r < a->rows; ++r) {
    const int8_t *x = (const int8_t *)kg_in(mem, a->x) + r * a->depth;
    int8_t *y = (int8_t *)kg_out(mem, a->y) + r * a->depth;
    const row_scale s = scale_of(x, table, a->depth, 8);
    for (int32_t c = 0; c < a->depth; ++c) y[c] = (int8_t)kg_clamp_s32(probability(&s, table, x[c]) - 128, -128, 127);
  }
}

void kg_softmax_ref_s8_s16(const kg_softmax_args *a, const kg_memory *mem) {
  const int32_t *table = (const int32_t *)kg_in(mem, a->table);
  for (int32_t r = 0; r < a->rows; ++r) {
    const int8_t *x = (const int8_t *)kg_in(mem, a->x) + r * a->depth;
    int16_t *y = (int16_t *)kg_out(mem, a->y) + r * a->depth;
    const row_scale s = scale_of(x, table, a->depth, 16);
    for (int32_t c = 0; c < a->depth; ++c) y[c] = (int16_t)kg_clamp_s32(probability(&s, table, x[c]) - 32768, -32768, 32767);
  }
}
