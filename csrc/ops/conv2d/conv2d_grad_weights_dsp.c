#include <string.h>

#include "../../common/dsp/simd.h"
#include "../../common/dsp/update_row.h"
#include "conv2d_learn.h"

/* Gradients of four output channels and a block of input channels at one tap: products of errors, as pairs of pixels, with inputs. */
typedef struct work {
  const kg_conv2d_grad_weights_dsp_args *a;
  const int8_t *gy, *x;
  uint32_t *words;  /* inputs: for every two channels a word for each two pixels */
  uint32_t *buffer; /* blocks of errors */
  int32_t *sums;
  int32_t tap, channel, channels;
  int32_t errors[KG_SUMS_PIXELS]; /* sums of the errors of four output channels */
} work;

static uint32_t lower(uint32_t first, uint32_t second) { return (first & 0xFFFFu) | second << 16; }
static uint32_t upper(uint32_t first, uint32_t second) { return first >> 16 | (second & 0xFFFF0000u); }

/* What output pixel `p` saw through the tap, NULL beside the image. */
static const int8_t *seen(const work *k, int32_t p) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t oy = p / g->out_w, ox = p - oy * g->out_w, ky = k->tap / g->k_w;
  const int32_t iy = kg_conv2d_input_row(g, oy, ky), ix = kg_conv2d_input_col(g, ox, k->tap - ky * g->k_w);
  if (p >= g->out_h * g->out_w || iy < 0 || ix < 0) return NULL;
  return k->x + (iy * g->in_w + ix) * g->live_c + k->channel;
}

/* Inputs of the block; beside the image stands the zero point, so that all errors count alike. */
static void pack_inputs(const work *k) {
  const int32_t pairs = kg_conv2d_grad_weights_pairs(&k->a->shape);
  const uint32_t zero = ((uint32_t)k->a->x_zero & 0xFFu) * 0x01010101u;
  for (int32_t pair = 0; pair < pairs; ++pair) {
    const int8_t *first = seen(k, 2 * pair), *second = seen(k, 2 * pair + 1);
    uint32_t *to = k->words + pair;
    for (int32_t c = 0; c < k->channels; c += 4, to += 2 * pairs) {
      const uint32_t a = first ? kg_load_u32(first + c) : zero, b = second ? kg_load_u32(second + c) : zero;
      to[0] = lower(a, b);
      to[pairs] = upper(a, b);
    }
  }
}

/* Errors of the output channels oc..oc+3 at `count` pairs of pixels from pair `first` on, without those that are zero; gives the end. */
static uint32_t *pack_errors(work *k, int32_t oc, int32_t first, int32_t count) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t pixels = g->out_h * g->out_w;
  const uint32_t ones = 0x00010001u;
  const int8_t *gy = k->gy + 2 * first * g->out_c + oc;
  int32_t e0 = k->errors[0], e1 = k->errors[1], e2 = k->errors[2], e3 = k->errors[3];
  uint32_t *to = k->buffer;
  for (int32_t i = 0; i < count; ++i, gy += 2 * g->out_c) {
    const uint32_t a = kg_load_u32(gy), b = 2 * (first + i) + 1 < pixels ? kg_load_u32(gy + g->out_c) : 0;
    if ((a | b) == 0) continue;
    const uint32_t a02 = kg_sxtb16(a), a13 = kg_sxtb16_ror8(a), b02 = kg_sxtb16(b), b13 = kg_sxtb16_ror8(b);
    to[0] = lower(a02, b02);
    to[1] = lower(a13, b13);
    to[2] = 4u * (uint32_t)i;
    to[3] = upper(a02, b02);
    to[4] = upper(a13, b13);
    e0 = kg_smlad(to[0], ones, e0);
    e1 = kg_smlad(to[1], ones, e1);
    e2 = kg_smlad(to[3], ones, e2);
    e3 = kg_smlad(to[4], ones, e3);
    to += KG_SUMS_BLOCK;
  }
  k->errors[0] = e0;
  k->errors[1] = e1;
  k->errors[2] = e2;
  k->errors[3] = e3;
  return to;
}

/* sums[output channel][input channel] */
static void gradients(work *k, int32_t oc) {
  const int32_t pairs = kg_conv2d_grad_weights_pairs(&k->a->shape);
  const kg_sums form = {k->channels / 2, 4 * pairs, 4 * k->channels};
  memset(k->sums, 0, (size_t)(4 * KG_SUMS_PIXELS * k->channels));
  memset(k->errors, 0, sizeof k->errors);
  for (int32_t first = 0, count; first < pairs; first += count) {
    count = pairs - first < k->a->pairs ? pairs - first : k->a->pairs;
    uint32_t *end = pack_errors(k, oc, first, count);
    if (end != k->buffer) kg_sums2x4(k->buffer, kg_sums_fill_up(k->buffer, end), k->words + first, k->sums, &form);
  }
}

void kg_conv2d_grad_weights_dsp_s8(const kg_conv2d_grad_weights_dsp_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *g = &a->shape;
  uint8_t *scratch = (uint8_t *)kg_out(mem, a->scratch);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent), taps = g->k_h * g->k_w;
  const kg_updater updater = kg_update_begin(mem, &a->update, (int8_t *)kg_out(mem, a->w_live), a->w_min, a->w_max);
  work k = {.a = a,
            .gy = (const int8_t *)kg_in(mem, a->gy),
            .x = (const int8_t *)kg_in(mem, a->x),
            .words = (uint32_t *)(void *)(scratch + kg_conv2d_grad_weights_words(a)),
            .buffer = (uint32_t *)(void *)(scratch + kg_conv2d_grad_weights_buffer(a)),
            .sums = (int32_t *)(void *)scratch};

  for (k.tap = 0; k.tap < taps; ++k.tap) {
    for (k.channel = 0; k.channel < g->live_c; k.channel += a->block) {
      k.channels = g->live_c - k.channel < a->block ? g->live_c - k.channel : a->block;
      pack_inputs(&k);
      for (int32_t oc = 0; oc < g->out_c; oc += KG_SUMS_PIXELS) {
        gradients(&k, oc);
        for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) {
          const kg_rate rate = kg_update_rate(mem, &a->update, oc + i, e);
          if (rate.mantissa == 0) continue;
          kg_update_put_row(&updater, ((oc + i) * taps + k.tap) * g->live_c + k.channel, k.sums + i * k.channels, k.channels,
                            a->x_zero * k.errors[i], rate);
        }
      }
    }
  }
}
