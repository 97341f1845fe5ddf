#include <string.h>

#include "../../common/dsp/errors.h"
#include "../../common/dsp/simd.h"
#include "conv2d_learn.h"

/* A tile of four input pixels, a block of input channels, and the errors that the buffer holds. */
typedef struct work {
  const kg_conv2d_grad_input_dsp_args *a;
  const int8_t *gy, *nothing; /* errors, and those of a pixel beside the image */
  const uint32_t *fold;
  const uint8_t *w_frozen;
  const int8_t *w_live;
  uint32_t *buffer, *end; /* blocks of folded errors */
  uint32_t *words;        /* learned weights of four channels, packed */
  int32_t *sums;
  int32_t pixel;             /* the first of the tile */
  int32_t channel, channels; /* the block */
  int32_t start, filled;     /* errors before the buffer, and in it, of all taps one after another */
} work;

static uint32_t lower(uint32_t first, uint32_t second) { return (first & 0xFFFFu) | second << 16; }
static uint32_t upper(uint32_t first, uint32_t second) { return first >> 16 | (second & 0xFFFF0000u); }

/* Learned weights of the input channels c..c+3 for the errors in the buffer, as kg_sums2x4 reads them. */
static void pack(const work *k, int32_t c) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t taps = g->k_h * g->k_w, row = taps * g->live_c;
  uint32_t *first = k->words, *second = k->words + k->filled / 2;
  int32_t tap = k->start / g->out_c, out = k->start - tap * g->out_c;
  for (int32_t i = 0; i < k->filled; i += 4, first += 2, second += 2) {
    const int8_t *w = k->w_live + out * row + tap * g->live_c + c;
    const uint32_t w0 = kg_load_u32(w), w1 = kg_load_u32(w + row), w2 = kg_load_u32(w + 2 * row), w3 = kg_load_u32(w + 3 * row);
    first[0] = lower(w0, w2);
    first[1] = lower(w1, w3);
    second[0] = upper(w0, w2);
    second[1] = upper(w1, w3);
    out += 4;
    if (out < g->out_c) continue;
    out = 0;
    ++tap;
  }
}

/* Adds the products of what the buffer holds to the sums of the block. */
static void multiply(work *k) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t window = g->k_h * g->k_w * g->out_c, last = k->channel + k->channels;
  if (k->end == k->buffer) return;
  k->end = kg_sums_fill_up(k->buffer, k->end);
  int32_t c = k->channel;
  for (; c < last && c < g->live_c; c += 4) {
    const kg_sums form = {2, 2 * k->filled, 4 * k->a->block};
    pack(k, c);
    kg_sums2x4(k->buffer, k->end, k->words, k->sums + c - k->channel, &form);
  }
  if (c == last) return;
  const kg_sums form = {(last - c) / 2, 2 * window, 4 * k->a->block};
  kg_sums2x4(k->buffer, k->end, k->w_frozen + (c - g->live_c) * window + 2 * k->start, k->sums + c - k->channel, &form);
}

/* Errors of the output pixels that saw the four input pixels through a tap. */
static void locate(const work *k, int32_t tap, const int8_t **from) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t ky = tap / g->k_w, kx = tap - ky * g->k_w;
  for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) {
    const int32_t row = (k->pixel + i) / g->in_w, col = k->pixel + i - row * g->in_w;
    const int32_t y = kg_conv2d_output_row(g, row, ky), x = kg_conv2d_output_col(g, col, kx);
    from[i] = y >= 0 && x >= 0 ? k->gy + (y * g->out_w + x) * g->out_c : k->nothing;
  }
}

/* Products with all errors, a buffer of them at a time. */
static void add_all(work *k) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t room = 2 * k->a->pairs, shift = k->a->fold_shift;
  k->start = k->filled = 0;
  k->end = k->buffer;
  for (int32_t tap = 0; tap < g->k_h * g->k_w; ++tap) {
    const int8_t *from[KG_SUMS_PIXELS];
    locate(k, tap, from);
    for (int32_t c = 0, n; c < g->out_c; c += n) {
      if (k->filled == room) {
        multiply(k);
        k->start += room;
        k->filled = 0;
        k->end = k->buffer;
      }
      n = room - k->filled < g->out_c - c ? room - k->filled : g->out_c - c;
      const kg_sums_fold fold = {(int32_t)1 << (shift - 1), shift, 2 * k->filled};
      k->end = kg_sums_errors(k->end, from, n / 4, k->fold + c / 2, &fold);
      k->filled += n;
      for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) from[i] += n;
    }
  }
  multiply(k);
}

void kg_conv2d_grad_input_dsp_s8(const kg_conv2d_grad_input_dsp_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *g = &a->shape;
  uint8_t *scratch = (uint8_t *)kg_out(mem, a->scratch);
  int8_t *nothing = (int8_t *)scratch + kg_conv2d_grad_nothing(a);
  work k = {.a = a,
            .gy = (const int8_t *)kg_in(mem, a->gy),
            .nothing = nothing,
            .fold = (const uint32_t *)kg_in(mem, a->fold),
            .w_frozen = (const uint8_t *)kg_in(mem, a->w_frozen),
            .w_live = (const int8_t *)kg_in(mem, a->w_live),
            .sums = (int32_t *)(void *)scratch,
            .buffer = (uint32_t *)(void *)(scratch + kg_conv2d_grad_buffer(a)),
            .words = (uint32_t *)(void *)(scratch + kg_conv2d_grad_words(a))};
  const int32_t acc_exponent = kg_error_exponent(mem, a->gy_exponent) - a->fold_exponent + a->fold_shift;
  kg_error_writer out = kg_error_begin(mem, &a->gx, acc_exponent);
  const int32_t pixels = g->in_h * g->in_w, whole = g->k_h * g->k_w * g->out_c <= 2 * a->pairs;

  if (kg_conv2d_grad_pads(g)) memset(nothing, 0, (size_t)g->out_c);
  for (int32_t p = 0; p < pixels; p += KG_SUMS_PIXELS) {
    k.pixel = p + KG_SUMS_PIXELS <= pixels ? p : pixels - KG_SUMS_PIXELS; /* the last tile may do pixels again */
    for (k.channel = 0; k.channel < g->in_c; k.channel += a->block) {
      k.channels = g->in_c - k.channel < a->block ? g->in_c - k.channel : a->block;
      memset(k.sums, 0, (size_t)kg_conv2d_grad_buffer(a));
      if (whole && k.channel > 0)
        multiply(&k); /* the buffer still holds all errors */
      else
        add_all(&k);
      for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i)
        kg_error_put_row(&out, (k.pixel + i) * g->in_c + k.channel, k.sums + i * a->block, k.channels);
    }
  }
  kg_error_end(&out);
}
