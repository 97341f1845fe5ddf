#include "mean_squared_error.h"

#include "../../common/loss.h"

void kg_mean_squared_error_ref_s8(const kg_mean_squared_error_args *a, const kg_memory *mem) {
  const int8_t *y = (const int8_t *)kg_in(mem, a->y);
  const int8_t *target = (const int8_t *)kg_in(mem, a->target);
  int8_t *error = (int8_t *)kg_out(mem, a->error);
  kg_train_state *train = (kg_train_state *)kg_out(mem, a->train);
  int64_t squares = 0;
  int32_t peak = 0;
  for (int32_t i = 0; i < a->size; ++i) {
    int32_t d = y[i] - target[i];
    int32_t magnitude = d < 0 ? -d : d;
    if (magnitude > peak) peak = magnitude;
    squares += d * d;
  }
  const int32_t shift = kg_loss_shift(peak * a->fold);
  for (int32_t i = 0; i < a->size; ++i) error[i] = kg_loss_round((y[i] - target[i]) * a->fold, shift);
  kg_loss_exponent((kg_exponent *)kg_out(mem, a->exponent), shift - a->fold_exponent);
  train->loss = kg_sat_s32(kg_scale_pow2_s64(squares * a->loss_mantissa, a->loss_exponent));
  train->predicted = -1;
  train->skip = peak < a->threshold;
  train->skipped = kg_add_wrap(train->skipped, train->skip);
}
