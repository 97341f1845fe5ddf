#include "rescale.h"

#include "../../common/fixed_point.h"

static int32_t load(const void *x, int32_t bytes, int32_t i) {
  return bytes == 1 ? ((const int8_t *)x)[i] : bytes == 2 ? ((const int16_t *)x)[i] : ((const int32_t *)x)[i];
}

static void store(void *y, int32_t bytes, int32_t i, int32_t v) {
  if (bytes == 1)
    ((int8_t *)y)[i] = (int8_t)v;
  else if (bytes == 2)
    ((int16_t *)y)[i] = (int16_t)v;
  else
    ((int32_t *)y)[i] = v;
}

void kg_rescale_ref(const kg_rescale_args *a, const kg_memory *mem) {
  const void *x = kg_in(mem, a->x);
  void *y = kg_out(mem, a->y);
  for (int32_t i = 0; i < a->count; ++i) {
    const int32_t d = kg_sub_wrap(load(x, a->x_bytes, i), a->x_zero);
    const int32_t v =
        d < 0 ? kg_requantize(d, a->below_multiplier, a->below_shift) : kg_requantize(d, a->above_multiplier, a->above_shift);
    store(y, a->y_bytes, i, kg_clamp_s32(kg_add_wrap(v, a->y_zero), a->lo, a->hi));
  }
}
