#include "bytes.h"

#include "../fixed_point.h"
#include "simd.h"

#if KG_DSP

/* max, min of four int8: SSUB8 notes which differences are not negative, SEL takes those. */
static uint32_t max4(uint32_t a, uint32_t b) {
  (void)__ssub8((int8x4_t)a, (int8x4_t)b);
  return (uint32_t)__sel((uint8x4_t)a, (uint8x4_t)b);
}

static uint32_t min4(uint32_t a, uint32_t b) {
  (void)__ssub8((int8x4_t)a, (int8x4_t)b);
  return (uint32_t)__sel((uint8x4_t)b, (uint8x4_t)a);
}

static void store(int8_t *to, uint32_t four) { memcpy(to, &four, sizeof four); }

/* `count` rounded down to fours is done; gives how many that are. */
static int32_t max_fours(int8_t *y, const int8_t *x, int32_t count) {
  int32_t i = 0;
  for (; i + 4 <= count; i += 4) store(y + i, max4(kg_load_u32(y + i), kg_load_u32(x + i)));
  return i;
}

static int32_t clamp_fours(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  const uint32_t low = ((uint32_t)lo & 0xFFu) * 0x01010101u, high = ((uint32_t)hi & 0xFFu) * 0x01010101u;
  int32_t i = 0;
  for (; i + 4 <= count; i += 4) store(y + i, min4(max4(kg_load_u32(y + i), low), high));
  return i;
}

#else

static int32_t max_fours(int8_t *y, const int8_t *x, int32_t count) {
  (void)y, (void)x, (void)count;
  return 0;
}

static int32_t clamp_fours(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  (void)y, (void)count, (void)lo, (void)hi;
  return 0;
}

#endif

void kg_max_s8(int8_t *y, const int8_t *x, int32_t count) {
  for (int32_t i = max_fours(y, x, count); i < count; ++i) y[i] = y[i] > x[i] ? y[i] : x[i];
}

void kg_clamp_s8(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  for (int32_t i = clamp_fours(y, count, lo, hi); i < count; ++i) y[i] = (int8_t)kg_clamp_s32(y[i], lo, hi);
}
