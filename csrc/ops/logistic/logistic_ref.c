#include "logistic.h"

#include "../../common/fixed_point.h"

/* Table at u >= 0, interpolated with `bits` fraction bits: Q0.(16 + bits). */
static int32_t lookup(const uint16_t *table, int32_t u, int32_t bits) {
  const int32_t i = u >> bits;
  if (i >= 255) return bits == 9 ? 0x7FFF << 10 : 0xFFFF << 8; /* the largest result */
  const int32_t a = table[i], b = table[i + 1];
  return (a << bits) + (u & ((1 << bits) - 1)) * (b - a);
}

static int32_t logistic(const uint16_t *table, int32_t u) {
  const int32_t r = lookup(table, u < 0 ? -u : u, 9);
  return (u >= 0 ? r + (1 << 9) : (1 << 25) - r + (1 << 9) - 1) >> 10;
}

static int32_t hyperbolic_tangent(const uint16_t *table, int32_t u) {
  const int32_t r = lookup(table, u < 0 ? -u : u, 8) - (1 << 23);
  return (u >= 0 ? r + (1 << 7) : -r + (1 << 7) - 1) >> 8;
}

void kg_logistic_ref_s16(const kg_logistic_args *a, const kg_memory *mem) {
  const int16_t *x = (const int16_t *)kg_in(mem, a->x);
  const uint16_t *table = (const uint16_t *)kg_in(mem, a->table);
  int16_t *y = (int16_t *)kg_out(mem, a->y);
  const int32_t half = a->shift > 0 ? 1 << (a->shift - 1) : 0;
  for (int32_t i = 0; i < a->count; ++i) {
    const int32_t u = (x[i] * a->multiplier + half) >> a->shift;
    const int32_t v = a->tanh ? hyperbolic_tangent(table, u) : logistic(table, u);
    y[i] = (int16_t)kg_clamp_s32(v, -32768, 32767);
  }
}
