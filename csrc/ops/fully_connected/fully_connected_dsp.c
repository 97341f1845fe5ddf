#include "../../common/dsp/fc4.h"
#include "../../common/dsp/simd.h"
#include "../../common/fixed_point.h"
#include "fully_connected.h"

/* Inputs as kg_fc4_s8 wants them; gives the number of steps. */
static int32_t expand(const int8_t *x, int32_t count, uint32_t *pairs) {
  int32_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const uint32_t four = kg_load_u32(x + i);
    *pairs++ = kg_sxtb16(four);
    *pairs++ = kg_sxtb16_ror8(four);
  }
  const int32_t steps = (count + KG_FC4_STEP - 1) / KG_FC4_STEP;
  for (; i < steps * KG_FC4_STEP; i += 4) { /* what is missing is 0, and so are the weights there */
    int32_t v[4];
    for (int32_t j = 0; j < 4; ++j) v[j] = i + j < count ? x[i + j] : 0;
    *pairs++ = kg_pair(v[0], v[2]);
    *pairs++ = kg_pair(v[1], v[3]);
  }
  return steps;
}

static void clamp(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  for (int32_t i = 0; i < count; ++i) y[i] = (int8_t)kg_clamp_s32(y[i], lo, hi);
}

void kg_fully_connected_dsp_s8(const kg_fully_connected_dsp_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const uint8_t *stream = (const uint8_t *)kg_in(mem, a->stream);
  uint32_t *pairs = (uint32_t *)kg_out(mem, a->scratch);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  const int32_t whole = a->out / 4, rest = a->out % 4;
  const int32_t group_bytes = 64 + 4 * ((a->in + KG_FC4_STEP - 1) / KG_FC4_STEP) * KG_FC4_STEP;
  for (int32_t row = 0; row < a->rows; ++row, x += a->in, y += a->out) {
    const int32_t steps = expand(x, a->in, pairs);
    if (whole > 0) kg_fc4_s8(pairs, stream, y, steps, whole);
    if (rest > 0) {
      int8_t last[4];
      kg_fc4_s8(pairs, stream + whole * group_bytes, last, steps, 1);
      for (int32_t i = 0; i < rest; ++i) y[4 * whole + i] = last[i];
    }
    if (a->y_min > -128 || a->y_max < 127) clamp(y, a->out, a->y_min, a->y_max);
  }
}
