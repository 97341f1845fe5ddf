#include "../../common/dsp/simd.h"
#include "bias_grad.h"

enum { FOUR = 4, ROUND = 255 /* pixels whose sums fit 16 bits: 255 * 128 < 2^15 */ };

/* acc = sums of the channels c..c+3 over all pixels. */
static void sum_four(const int8_t *gy, int32_t pixels, int32_t channels, int32_t *acc) {
  for (int32_t i = 0; i < FOUR; ++i) acc[i] = 0;
  for (int32_t left = pixels; left > 0; left -= ROUND) {
    uint32_t even = 0, odd = 0;
    for (int32_t p = left < ROUND ? left : ROUND; p > 0; --p, gy += channels) {
      const uint32_t four = kg_load_u32(gy);
      even = kg_sxtab16(even, four);
      odd = kg_sxtab16_ror8(odd, four);
    }
    acc[0] += kg_low(even);
    acc[1] += kg_low(odd);
    acc[2] += kg_high(even);
    acc[3] += kg_high(odd);
  }
}

/* Channels in fours; a multiple of four. */
static void grad(const kg_bias_grad_args *a, const kg_memory *mem, int32_t *wide, int16_t *narrow) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const kg_bias_target target = kg_bias_begin(a, mem, wide, narrow);
  for (int32_t c = 0; c < a->channels; c += FOUR) {
    int32_t acc[FOUR];
    sum_four(gy + c, a->pixels, a->channels, acc);
    kg_bias_apply(a, mem, &target, c, FOUR, acc);
  }
}

void kg_bias_grad_dsp_s32(const kg_bias_grad_args *a, const kg_memory *mem) {
  grad(a, mem, (int32_t *)kg_out(mem, a->bias), NULL);
}

void kg_bias_grad_dsp_s16(const kg_bias_grad_args *a, const kg_memory *mem) {
  grad(a, mem, NULL, (int16_t *)kg_out(mem, a->bias));
}
