#include "../../common/dsp/simd.h"
#include "bias_grad.h"

enum {
  FOUR = 4,
  ROUND = 255,      /* pixels whose sums fit 16 bits: 255 * 128 < 2^15 */
  LEAST_SHIFT = 33, /* of products: steps then fit 32 bits */
  LARGEST_SHIFT = 62,
  SMALL = 1 << 21, /* biases whose steps fit, too: 2^29 and a step of at most 2^30 */
  HALF = 1 << (KG_BIAS_FRACTION - 1)
};

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

/* Steps of four channels, as kg_bias_apply takes them, where the steps fit 32 bits; everything else goes to kg_bias_apply. */
typedef struct rates {
  const int32_t *mantissa;
  const int8_t *exponent;
  int32_t lr;    /* mantissa of the learning rate */
  int32_t shift; /* what is added to a channel's exponent */
} rates;

static void apply_four(const kg_bias_grad_args *a, const kg_memory *mem, const kg_bias_target *t, const rates *r, int32_t c,
                       const int32_t *acc) {
  const int32_t nearest = a->update.rounding == KG_ROUND_NEAREST;
  for (int32_t i = c; i < c + FOUR; ++i) {
    const int32_t mantissa = (int32_t)(((int64_t)r->mantissa[i] * r->lr) >> 15), shift = -(r->exponent[i] + r->shift);
    if (t->pending || shift < LEAST_SHIFT || shift > LARGEST_SHIFT) {
      kg_bias_apply(a, mem, t, i, 1, acc + i - c);
      continue;
    }
    if (mantissa == 0) continue;
    const int32_t upper = (int32_t)(((int64_t)acc[i - c] * mantissa) >> 32);
    const int32_t step = (upper + ((int32_t)1 << (shift - 33))) >> (shift - 32);
    if (t->wide && nearest && t->wide[i] > -SMALL && t->wide[i] < SMALL)
      t->wide[i] = kg_clamp_s32((t->wide[i] * (1 << KG_BIAS_FRACTION) - step + HALF) >> KG_BIAS_FRACTION, -a->limit, a->limit);
    else if (t->wide)
      t->wide[i] = kg_bias_step(a, t->start, i, t->wide[i], step);
    else
      t->narrow[i] = (int16_t)kg_bias_step(a, t->start, i, t->narrow[i], step);
  }
}

/* Channels in fours; a multiple of four. */
static void grad(const kg_bias_grad_args *a, const kg_memory *mem, int32_t *wide, int16_t *narrow) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const kg_bias_target target = kg_bias_begin(a, mem, wide, narrow);
  const kg_train_state *train = (const kg_train_state *)kg_in(mem, a->update.train);
  const rates r = {(const int32_t *)kg_in(mem, a->update.mantissa), (const int8_t *)kg_in(mem, a->update.exponent),
                   train->lr_mantissa & 0x7FFF, kg_clamp_s32(train->lr_exponent, -64, 64) + target.e + 15 + KG_BIAS_FRACTION};
  for (int32_t c = 0; c < a->channels; c += FOUR) {
    int32_t acc[FOUR];
    sum_four(gy + c, a->pixels, a->channels, acc);
    apply_four(a, mem, &target, &r, c, acc);
  }
}

void kg_bias_grad_dsp_s32(const kg_bias_grad_args *a, const kg_memory *mem) {
  grad(a, mem, (int32_t *)kg_out(mem, a->bias), NULL);
}

void kg_bias_grad_dsp_s16(const kg_bias_grad_args *a, const kg_memory *mem) {
  grad(a, mem, NULL, (int16_t *)kg_out(mem, a->bias));
}
