#include "softmax_cross_entropy.h"

#include "../../common/loss.h"

enum { LN2_Q16 = 45426, ONE_Q15 = 1 << 15 };

/* 2^-x in Q15 for x = below * scale (Q16): fraction by table, integer part by a rounded shift. */
static uint32_t power(const uint16_t *table, int32_t below, int32_t scale) {
  uint32_t x = ((uint32_t)below * (uint32_t)scale + 128u) >> 8; /* below <= 255, scale <= 2^23: fits */
  uint32_t shift = x >> 8;
  if (shift > 16) return 0;
  return ((uint32_t)table[x & 255u] + ((1u << shift) >> 1)) >> shift;
}

/* log2 of a sum in Q15, result in Q16: integer part by counting, fraction bit by bit by squaring. */
static int32_t log2_q15(uint32_t sum) {
  int32_t result = -15 * (1 << 16);
  uint64_t m = sum;
  while (m >= (uint64_t)1 << 31) {
    m >>= 1;
    result += 1 << 16;
  }
  int32_t up = 0; /* m to [2^30, 2^31) */
  while (m < (uint64_t)1 << 30) {
    m <<= 1;
    ++up;
  }
  result += (30 - up) * (1 << 16);
  for (int32_t bit = 1 << 15; bit > 0; bit >>= 1) {
    m = (m * m) >> 30;
    if (m >= (uint64_t)1 << 31) {
      m >>= 1;
      result += bit;
    }
  }
  return result;
}

/* p - y in Q15; e <= 2^15 and sum <= 2^31, so nothing overflows. */
static int32_t gradient(uint32_t e, uint32_t sum, int32_t is_label) {
  return (int32_t)((e * (uint32_t)ONE_Q15 + sum / 2u) / sum) - (is_label ? ONE_Q15 : 0);
}

static int32_t argmax(const int8_t *x, int32_t n) {
  int32_t best = 0;
  for (int32_t i = 1; i < n; ++i)
    if (x[i] > x[best]) best = i;
  return best;
}

void kg_softmax_cross_entropy_ref_s8(const kg_softmax_cross_entropy_args *a, const kg_memory *mem) {
  const int8_t *logits = (const int8_t *)kg_in(mem, a->logits);
  const int32_t label = *(const int32_t *)kg_in(mem, a->label);
  const uint16_t *table = (const uint16_t *)kg_in(mem, a->table);
  int8_t *error = (int8_t *)kg_out(mem, a->error);
  kg_train_state *train = (kg_train_state *)kg_out(mem, a->train);
  const int32_t best = argmax(logits, a->classes);
  const int32_t top = logits[best];
  uint32_t sum = 0;
  for (int32_t i = 0; i < a->classes; ++i) sum += power(table, top - logits[i], a->scale);

  train->predicted = best;
  if (label < 0 || label >= a->classes) {
    for (int32_t i = 0; i < a->classes; ++i) error[i] = 0;
    kg_loss_exponent((kg_exponent *)kg_out(mem, a->exponent), -15);
    train->loss = -1;
    train->skip = 1;
    return;
  }
  /* -log2 p = log2 sum + (top - logit of the label), in Q16 */
  int64_t bits = (int64_t)log2_q15(sum) + (int64_t)(top - logits[label]) * a->scale;
  train->loss = kg_sat_s32((bits * LN2_Q16) >> 16);

  int32_t peak = 0;
  for (int32_t i = 0; i < a->classes; ++i) {
    int32_t g = gradient(power(table, top - logits[i], a->scale), sum, i == label);
    if (g > peak || -g > peak) peak = g < 0 ? -g : g;
  }
  const int32_t shift = kg_loss_shift(peak);
  for (int32_t i = 0; i < a->classes; ++i)
    error[i] = kg_loss_round(gradient(power(table, top - logits[i], a->scale), sum, i == label), shift);
  kg_loss_exponent((kg_exponent *)kg_out(mem, a->exponent), shift - 15);
  train->skip = peak < a->threshold;
  train->skipped = kg_add_wrap(train->skipped, train->skip);
}
