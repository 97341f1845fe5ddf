#include "sgd_apply.h"

static uint32_t start_of(const kg_sgd_apply_args *a, const kg_memory *mem) {
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, a->train);
  return kg_random_start(train->seed, train->step, a->tensor);
}

void kg_sgd_apply_ref_s8(const kg_sgd_apply_args *a, const kg_memory *mem) {
  int8_t *w = (int8_t *)kg_out(mem, a->parameter);
  int8_t *fraction = (int8_t *)kg_out(mem, a->fraction);
  int32_t *pending = (int32_t *)kg_out(mem, a->pending);
  const uint32_t start = start_of(a, mem);
  for (int32_t i = 0; i < a->count; ++i) {
    kg_update_weight(w, fraction, i, pending[i], a->rounding, start, a->lo, a->hi);
    pending[i] = 0;
  }
}

/* A bias after its pending step. */
static int32_t bias_after(const kg_sgd_apply_args *a, int32_t value, int32_t pending, uint32_t start, int32_t index) {
  uint32_t random = kg_random_at(start, (uint32_t)index);
  int64_t b = kg_update_round(value, pending, KG_BIAS_FRACTION, a->rounding, random);
  /* a bias that is out of range from the start stays where it is until a step brings it inside */
  if (pending == 0) return value;
  return (int32_t)(b > a->hi ? a->hi : b < a->lo ? a->lo : b);
}

void kg_sgd_apply_ref_s16(const kg_sgd_apply_args *a, const kg_memory *mem) {
  int16_t *b = (int16_t *)kg_out(mem, a->parameter);
  int32_t *pending = (int32_t *)kg_out(mem, a->pending);
  const uint32_t start = start_of(a, mem);
  for (int32_t i = 0; i < a->count; ++i) {
    b[i] = (int16_t)bias_after(a, b[i], pending[i], start, i);
    pending[i] = 0;
  }
}

void kg_sgd_apply_ref_s32(const kg_sgd_apply_args *a, const kg_memory *mem) {
  int32_t *b = (int32_t *)kg_out(mem, a->parameter);
  int32_t *pending = (int32_t *)kg_out(mem, a->pending);
  const uint32_t start = start_of(a, mem);
  for (int32_t i = 0; i < a->count; ++i) {
    b[i] = bias_after(a, b[i], pending[i], start, i);
    pending[i] = 0;
  }
}
