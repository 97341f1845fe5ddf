#include "update_row.h"

/* Steps that fit an int32 for all gradients: the product's upper word, shifted. */
enum { LEAST_SHIFT = 33, LARGEST_SHIFT = 62 };

static void put_fast(const kg_updater *w, int32_t index, const int32_t *gradient, int32_t count, int32_t minus, kg_rate rate) {
  const int32_t shift = -(rate.exponent + KG_WEIGHT_FRACTION), lo = w->lo, hi = w->hi;
  const uint32_t stochastic = w->rounding == KG_ROUND_NEAREST ? 0 : 0xFFFFu;
  const int32_t nearest = w->rounding == KG_ROUND_NEAREST ? 1 << (KG_WEIGHT_FRACTION - 1) : 0;
  const int32_t half = (int32_t)1 << (shift - 33); /* of the product's upper word */
  int8_t *to = w->weights + index;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t upper = (int32_t)(((int64_t)kg_sub_wrap(gradient[i], minus) * rate.mantissa) >> 32);
    const int32_t step = (upper + half) >> (shift - 32);
    const int32_t random = (int32_t)(kg_random_at(w->start, (uint32_t)(index + i)) & stochastic) + nearest;
    const int32_t q = (to[i] * (1 << KG_WEIGHT_FRACTION) - step + random) >> KG_WEIGHT_FRACTION;
    to[i] = (int8_t)(q > hi ? hi : q < lo ? lo : q);
  }
}

void kg_update_put_row(const kg_updater *w, int32_t index, const int32_t *gradient, int32_t count, int32_t minus, kg_rate rate) {
  const int32_t shift = -(rate.exponent + KG_WEIGHT_FRACTION);
  if (!w->pending && !w->fraction && shift >= LEAST_SHIFT && shift <= LARGEST_SHIFT) {
    put_fast(w, index, gradient, count, minus, rate);
    return;
  }
  for (int32_t i = 0; i < count; ++i)
    kg_update_put(w, index + i, kg_update_step(kg_sub_wrap(gradient[i], minus), rate, KG_WEIGHT_FRACTION));
}
