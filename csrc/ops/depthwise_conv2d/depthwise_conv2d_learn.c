#include "depthwise_conv2d_learn.h"

#include "../../common/dsp/odd.h"
#include "../../common/dsp/sums.h"

/* Channels that are computed together: planes of their inputs, sums of a row of results. */
typedef struct work {
  const kg_depthwise_conv2d_learn_args *a;
  const int8_t *x;
  const uint8_t *w_frozen;
  uint8_t *planes, *packed;
  int32_t *sums;
  kg_taps *rows, *columns;
  int32_t channel, channels;
} work;

static void fill(const work *k) {
  const kg_depthwise_shape *g = &k->a->shape;
  const int32_t pixels = g->in_h * g->in_w;
  const uint32_t zero = kg_pair(-k->a->x_zero, -k->a->x_zero);
  uint32_t *to = (uint32_t *)(void *)k->planes;
  for (int32_t c = 0; c < k->channels; c += 4) {
    const int8_t *x = k->x + k->channel + c;
    for (int32_t p = 0; p < pixels; ++p, x += g->in_c, to += 2) {
      const uint32_t four = kg_load_u32(x);
      to[0] = kg_sxtab16(zero, four);
      to[1] = kg_sxtab16_ror8(zero, four);
    }
  }
}

/* Weights of the channels c..c+3 of the block. */
static const uint8_t *weights(const work *k, int32_t c) {
  const kg_depthwise_shape *g = &k->a->shape;
  const int32_t bytes = 2 * g->k_h * g->k_w, channel = k->channel + c;
  return channel < g->live_c ? k->packed + c * bytes : k->w_frozen + (channel - g->live_c) * bytes;
}

static void row_of_sums(const work *k, const int32_t *bias, int32_t oy) {
  const kg_depthwise_shape *g = &k->a->shape;
  const int32_t none[4] = {0, 0, 0, 0}, plane = 2 * g->in_h * g->in_w;
  const kg_taps *row = &k->rows[oy];
  const kg_planes form = {row->taps, g->out_w, KG_PLANES_TAP * g->in_w, KG_PLANES_TAP * g->k_w, 4 * k->a->block};
  for (int32_t c = 0; c < k->channels; c += 4)
    kg_planes_row(k->planes + c * plane + row->x, weights(k, c) + row->w, k->sums + c, k->columns,
                  bias ? bias + k->channel + c : none, &form);
}

static void odd_results(const work *k, const kg_memory *mem, const kg_odd *out, int32_t first) {
  const kg_depthwise_conv2d_learn_args *a = k->a;
  const int32_t *odd = (const int32_t *)kg_in(mem, a->odd);
  const int32_t *multiplier = (const int32_t *)kg_in(mem, a->multiplier);
  const int8_t *shift = (const int8_t *)kg_in(mem, a->shift);
  for (int32_t j = 0; j < a->odds; ++j) {
    const int32_t c = odd[j] - k->channel;
    if (c < 0 || c >= k->channels) continue;
    for (int32_t i = 0; i < a->shape.out_w; ++i)
      kg_odd_put(out, (first + i) * a->shape.in_c + odd[j], k->sums[i * a->block + c], multiplier[odd[j]], shift[odd[j]]);
  }
}

/* Results of the row of pixels that begins with `first`. */
static void results(const work *k, const kg_memory *mem, const kg_odd *out, int32_t first) {
  const kg_depthwise_conv2d_learn_args *a = k->a;
  const int32_t *scaling = (const int32_t *)kg_in(mem, a->scaling) + 3 * k->channel;
  const kg_sums_clamp clamp = {k->channels / 8, a->y_max - a->y_min, a->y_min};
  for (int32_t i = 0; i < a->shape.out_w; ++i) {
    const int32_t index = (first + i) * a->shape.in_c + k->channel;
    kg_sums_results(k->sums + i * a->block, scaling, out->y + index, out->mask ? out->mask + index / 8 : NULL, &clamp);
  }
  if (a->odds) odd_results(k, mem, out, first);
}

void kg_depthwise_conv2d_learn_s8(const kg_depthwise_conv2d_learn_args *a, const kg_memory *mem) {
  const kg_depthwise_shape *g = &a->shape;
  const int32_t from = g->in_h * g->in_w;
  uint8_t *scratch = (uint8_t *)kg_out(mem, a->scratch);
  kg_taps *spans = (kg_taps *)(void *)(scratch + kg_depthwise_spans(from, g->out_w, a->block));
  const int8_t *w_live = (const int8_t *)kg_in(mem, a->w_live);
  const int32_t *bias = (const int32_t *)kg_in(mem, a->bias);
  const kg_odd out = {(int8_t *)kg_out(mem, a->y), (uint8_t *)kg_out(mem, a->mask), a->y_zero, a->y_min, a->y_max};
  const kg_axis down = kg_depthwise_rows(g), across = kg_depthwise_columns(g);
  work k = {.a = a,
            .x = (const int8_t *)kg_in(mem, a->x),
            .w_frozen = (const uint8_t *)kg_in(mem, a->w_frozen),
            .planes = scratch,
            .packed = scratch + kg_depthwise_packed(from, g->out_h, g->out_w, a->block),
            .sums = (int32_t *)(void *)(scratch + kg_depthwise_sums(from, a->block)),
            .rows = spans,
            .columns = spans + g->out_h};

  for (int32_t o = 0; o < g->out_h; ++o) k.rows[o] = kg_taps_forward(&down, o, KG_PLANES_TAP * g->in_w, KG_PLANES_TAP * g->k_w);
  for (int32_t o = 0; o < g->out_w; ++o) k.columns[o] = kg_taps_forward(&across, o, KG_PLANES_TAP, KG_PLANES_TAP);
  for (k.channel = 0; k.channel < g->in_c; k.channel += a->block) {
    k.channels = g->in_c - k.channel < a->block ? g->in_c - k.channel : a->block;
    fill(&k);
    for (int32_t c = 0; c < k.channels && k.channel + c < g->live_c; c += 4)
      kg_depthwise_pack(g, w_live, k.channel + c, (uint32_t *)(void *)(k.packed + 2 * c * g->k_h * g->k_w), 0);
    for (int32_t oy = 0; oy < g->out_h; ++oy) {
      row_of_sums(&k, bias, oy);
      results(&k, mem, &out, oy * g->out_w);
    }
  }
}
