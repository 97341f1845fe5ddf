#include "conv2d_learn.h"

#include <string.h>

#include "../../common/dsp/odd.h"
#include "../../common/dsp/simd.h"

/* A tile of four pixels, a block of output channels, and the part of the inputs that the buffer holds. */
typedef struct work {
  const kg_conv2d_learn_args *a;
  const int8_t *x, *padding;
  const uint8_t *w_frozen;
  const int8_t *w_live;
  uint32_t *buffer, *end; /* blocks of inputs */
  uint32_t *words;        /* learned weights, packed */
  int32_t *sums;
  int32_t pixel;             /* the first of the tile */
  int32_t channel, channels; /* the block */
  int32_t start, filled;     /* inputs before the buffer, and in it */
  int32_t live;              /* which part of the weights they meet */
} work;

/* Weights of two output channels for a run of inputs, as kg_sums2x4 reads them. */
static void pack(uint32_t *to, const int8_t *first, const int8_t *second, int32_t count) {
  for (int32_t i = 0; i < count; i += 4, to += 2) {
    const uint32_t a = kg_load_u32(first + i), b = kg_load_u32(second + i);
    to[0] = (a & 0x00FF00FFu) | (b & 0x00FF00FFu) << 8;
    to[1] = (a >> 8 & 0x00FF00FFu) | (b & 0xFF00FF00u);
  }
}

/* The same for `count` channels from the block's channel `c` on. */
static void pack_channels(const work *k, int32_t c, int32_t count, int32_t inputs) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t window = g->k_h * g->k_w * g->live_c;
  const int8_t *w = k->w_live + (k->channel + c) * window + k->start;
  uint32_t *to = k->words;
  for (int32_t i = 0; i < count; i += 2, w += 2 * window, to += inputs / 2) pack(to, w, w + window, inputs);
}

static void multiply_live(const work *k) {
  if (k->a->held) { /* the words of the whole block are there */
    const kg_sums form = {k->channels / 2, 2 * k->filled, 4 * k->a->block};
    kg_sums2x4(k->buffer, k->end, k->words, k->sums, &form);
    return;
  }
  const kg_sums form = {2, 2 * k->filled, 4 * k->a->block};
  for (int32_t c = 0; c < k->channels; c += 4) {
    pack_channels(k, c, 4, k->filled);
    kg_sums2x4(k->buffer, k->end, k->words, k->sums + c, &form);
  }
}

/* Adds the products of what the buffer holds. */
static void multiply(work *k) {
  const kg_conv2d_shape *g = &k->a->shape;
  if (k->end == k->buffer) return;
  k->end = kg_sums_fill_up(k->buffer, k->end);
  if (k->live) {
    multiply_live(k);
    return;
  }
  const int32_t window = g->k_h * g->k_w * (g->in_c - g->live_c);
  const kg_sums form = {k->channels / 2, 2 * window, 4 * k->a->block};
  kg_sums2x4(k->buffer, k->end, k->w_frozen + k->channel * window + 2 * k->start, k->sums, &form);
}

/* Where the four pixels see a tap. */
static void locate(const work *k, int32_t tap, const int8_t **from) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t ky = tap / g->k_w, kx = tap - ky * g->k_w;
  for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) {
    const int32_t row = (k->pixel + i) / g->out_w, col = k->pixel + i - row * g->out_w;
    const int32_t y = row * g->stride_h - g->pad_top + ky * g->dilation_h,
                  x = col * g->stride_w - g->pad_left + kx * g->dilation_w;
    const int32_t there = y >= 0 && y < g->in_h && x >= 0 && x < g->in_w;
    from[i] = there ? k->x + (y * g->in_w + x) * g->in_c : k->padding;
  }
}

/* Products with one part of the weights, a buffer of inputs at a time. */
static void add_part(work *k, int32_t live) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t first = live ? 0 : g->live_c, count = live ? g->live_c : g->in_c - g->live_c, room = 2 * k->a->pairs;
  k->live = live;
  k->start = k->filled = 0;
  k->end = k->buffer;
  for (int32_t tap = 0; count > 0 && tap < g->k_h * g->k_w; ++tap) {
    const int8_t *from[KG_SUMS_PIXELS];
    locate(k, tap, from);
    for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) from[i] += first;
    for (int32_t c = 0, n; c < count; c += n) {
      if (k->filled == room) {
        multiply(k);
        k->start += room;
        k->filled = 0;
        k->end = k->buffer;
      }
      n = room - k->filled < count - c ? room - k->filled : count - c;
      k->end = kg_sums_inputs(k->end, from, n / 4, -k->a->x_zero, 2 * k->filled);
      k->filled += n;
      for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) from[i] += n;
    }
  }
  if (k->filled) multiply(k);
}

static void begin_sums(const work *k, const int32_t *bias) {
  for (int32_t c = 0; c < k->channels; ++c) {
    const int32_t start = bias ? bias[k->channel + c] : 0;
    for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) k->sums[i * k->a->block + c] = start;
  }
}

static void odd_results(const work *k, const kg_memory *mem, const kg_odd *out) {
  const kg_conv2d_learn_args *a = k->a;
  const int32_t *odd = (const int32_t *)kg_in(mem, a->odd);
  const int32_t *multiplier = (const int32_t *)kg_in(mem, a->multiplier);
  const int8_t *shift = (const int8_t *)kg_in(mem, a->shift);
  for (int32_t j = 0; j < a->odds; ++j) {
    const int32_t c = odd[j] - k->channel;
    if (c < 0 || c >= k->channels) continue;
    for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i)
      kg_odd_put(out, (k->pixel + i) * a->shape.out_c + odd[j], k->sums[i * a->block + c], multiplier[odd[j]], shift[odd[j]]);
  }
}

static void results(const work *k, const kg_memory *mem, const kg_odd *out) {
  const kg_conv2d_learn_args *a = k->a;
  const int32_t *scaling = (const int32_t *)kg_in(mem, a->scaling) + 3 * k->channel;
  const kg_sums_clamp clamp = {k->channels / 8, a->y_max - a->y_min, a->y_min};
  for (int32_t i = 0; i < KG_SUMS_PIXELS; ++i) {
    const int32_t index = (k->pixel + i) * a->shape.out_c + k->channel;
    kg_sums_results(k->sums + i * a->block, scaling, out->y + index, out->mask ? out->mask + index / 8 : NULL, &clamp);
  }
  if (a->odds) odd_results(k, mem, out);
}

/* The last tile may do pixels again. */
static void begin_tile(work *k, int32_t tile, int32_t block) {
  const kg_conv2d_shape *g = &k->a->shape;
  const int32_t pixels = g->out_h * g->out_w, p = tile * KG_SUMS_PIXELS;
  k->pixel = p + KG_SUMS_PIXELS <= pixels ? p : pixels - KG_SUMS_PIXELS;
  k->channel = block * k->a->block;
  k->channels = g->out_c - k->channel < k->a->block ? g->out_c - k->channel : k->a->block;
}

static void add_parts(work *k) {
  const kg_conv2d_shape *g = &k->a->shape;
  if (g->live_c == 0 && k->channel > 0 && g->k_h * g->k_w * g->in_c <= 2 * k->a->pairs) {
    multiply(k); /* the buffer still holds all inputs */
    return;
  }
  add_part(k, 0);
  if (g->live_c > 0) add_part(k, 1);
}

void kg_conv2d_learn_s8(const kg_conv2d_learn_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *g = &a->shape;
  uint8_t *scratch = (uint8_t *)kg_out(mem, a->scratch);
  int8_t *padding = (int8_t *)scratch + kg_conv2d_learn_padding(a);
  work k = {.a = a,
            .x = (const int8_t *)kg_in(mem, a->x),
            .padding = padding,
            .w_frozen = (const uint8_t *)kg_in(mem, a->w_frozen),
            .w_live = (const int8_t *)kg_in(mem, a->w_live),
            .sums = (int32_t *)(void *)scratch,
            .buffer = (uint32_t *)(void *)(scratch + kg_conv2d_learn_buffer(a)),
            .words = (uint32_t *)(void *)(scratch + kg_conv2d_learn_words(a))};
  const int32_t *bias = (const int32_t *)kg_in(mem, a->bias);
  const kg_odd out = {(int8_t *)kg_out(mem, a->y), (uint8_t *)kg_out(mem, a->mask), a->y_zero, a->y_min, a->y_max};
  const int32_t tiles = (g->out_h * g->out_w + KG_SUMS_PIXELS - 1) / KG_SUMS_PIXELS,
                blocks = (g->out_c + a->block - 1) / a->block;

  if (kg_conv2d_learn_pads(g)) memset(padding, a->x_zero, (size_t)g->in_c);
  for (int32_t i = 0; i < tiles * blocks; ++i) { /* blocks of a tile, or tiles of a block whose weights are held */
    const int32_t tile = a->held ? i % tiles : i / blocks;
    begin_tile(&k, tile, a->held ? i / tiles : i % blocks);
    if (a->held && tile == 0) {
      k.start = 0;
      pack_channels(&k, 0, k.channels, g->k_h * g->k_w * g->live_c);
    }
    begin_sums(&k, bias);
    add_parts(&k);
    results(&k, mem, &out);
  }
}
