#include "train_begin.h"

/* Value of the schedule at `step`: linear between two points, in 64 bits, rounded down. */
static int32_t schedule(const int32_t *table, int32_t points, uint32_t step) {
  if (step <= (uint32_t)table[0]) return table[1];
  for (int32_t i = 1; i < points; ++i) {
    const int32_t *a = table + 2 * (i - 1);
    const int32_t *b = table + 2 * i;
    if (step > (uint32_t)b[0]) continue;
    return a[1] + (int32_t)(((int64_t)b[1] - a[1]) * ((int64_t)step - a[0]) / ((int64_t)b[0] - a[0]));
  }
  return table[2 * points - 1];
}

void kg_train_begin_ref_s32(const kg_train_begin_args *a, const kg_memory *mem) {
  kg_train_state *train = (kg_train_state *)kg_out(mem, a->train);
  train->step += 1u;
  int32_t mantissa = schedule((const int32_t *)kg_in(mem, a->table), a->points, train->step);
  int32_t exponent = a->lr_exponent;
  /* mantissa to [2^14, 2^15): what is shifted out is rounded down, below 2^-14 of the value */
  while (mantissa >= 1 << 15) {
    mantissa >>= 1;
    ++exponent;
  }
  while (mantissa > 0 && mantissa < 1 << 14) {
    mantissa *= 2;
    --exponent;
  }
  train->lr_mantissa = mantissa;
  train->lr_exponent = exponent;
  train->skip = 0;
  train->apply = train->step % (uint32_t)a->accumulate == 0;
}
