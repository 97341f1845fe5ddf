#include "../../common/dsp/errors.h"
#include "depthwise_conv2d_learn.h"

/* Channels that are computed together: planes of their folded errors, sums of a row. */
typedef struct work {
  const kg_depthwise_conv2d_grad_input_dsp_args *a;
  const int8_t *gy;
  const int16_t *fold;
  const uint8_t *w_frozen;
  uint8_t *planes, *packed;
  int32_t *sums;
  kg_taps *rows, *columns;
  int32_t channel, channels;
} work;

static void fill(const work *k) {
  const kg_depthwise_shape *g = &k->a->shape;
  const int32_t pixels = g->out_h * g->out_w, shift = k->a->fold_shift, half = (int32_t)1 << (shift - 1);
  uint32_t *to = (uint32_t *)(void *)k->planes;
  for (int32_t c = 0; c < k->channels; c += 4) {
    const int8_t *e = k->gy + k->channel + c;
    const int16_t *f = k->fold + k->channel + c;
    const int32_t f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3];
    for (int32_t p = 0; p < pixels; ++p, e += g->in_c, to += 2) {
      to[0] = kg_pair((e[0] * f0 + half) >> shift, (e[2] * f2 + half) >> shift);
      to[1] = kg_pair((e[1] * f1 + half) >> shift, (e[3] * f3 + half) >> shift);
    }
  }
}

/* Weights of the channels c..c+3 of the block. */
static const uint8_t *weights(const work *k, int32_t c) {
  const kg_depthwise_shape *g = &k->a->shape;
  const int32_t bytes = 2 * g->k_h * g->k_w, channel = k->channel + c;
  return channel < g->live_c ? k->packed + c * bytes : k->w_frozen + (channel - g->live_c) * bytes;
}

static void row_of_sums(const work *k, int32_t iy) {
  const kg_depthwise_shape *g = &k->a->shape;
  const int32_t none[4] = {0, 0, 0, 0}, plane = 2 * g->out_h * g->out_w;
  const kg_taps *row = &k->rows[iy];
  const kg_planes form = {row->taps, g->in_w, KG_PLANES_TAP * g->out_w, KG_PLANES_TAP * g->k_w, 4 * k->a->block};
  for (int32_t c = 0; c < k->channels; c += 4)
    kg_planes_row(k->planes + c * plane + row->x, weights(k, c) + row->w, k->sums + c, k->columns, none, &form);
}

void kg_depthwise_conv2d_grad_input_dsp_s8(const kg_depthwise_conv2d_grad_input_dsp_args *a, const kg_memory *mem) {
  const kg_depthwise_shape *g = &a->shape;
  const int32_t from = g->out_h * g->out_w;
  uint8_t *scratch = (uint8_t *)kg_out(mem, a->scratch);
  kg_taps *spans = (kg_taps *)(void *)(scratch + kg_depthwise_spans(from, g->in_w, a->block));
  const int8_t *w_live = (const int8_t *)kg_in(mem, a->w_live);
  const kg_axis down = kg_depthwise_rows(g), across = kg_depthwise_columns(g);
  const int32_t acc_exponent = kg_error_exponent(mem, a->gy_exponent) - a->fold_exponent + a->fold_shift;
  kg_error_writer out = kg_error_begin(mem, &a->gx, acc_exponent);
  work k = {.a = a,
            .gy = (const int8_t *)kg_in(mem, a->gy),
            .fold = (const int16_t *)kg_in(mem, a->fold),
            .w_frozen = (const uint8_t *)kg_in(mem, a->w_frozen),
            .planes = scratch,
            .packed = scratch + kg_depthwise_packed(from, g->in_h, g->in_w, a->block),
            .sums = (int32_t *)(void *)(scratch + kg_depthwise_sums(from, a->block)),
            .rows = spans,
            .columns = spans + g->in_h};

  for (int32_t i = 0; i < g->in_h; ++i) k.rows[i] = kg_taps_backward(&down, i, KG_PLANES_TAP * g->out_w, KG_PLANES_TAP * g->k_w);
  for (int32_t i = 0; i < g->in_w; ++i) k.columns[i] = kg_taps_backward(&across, i, KG_PLANES_TAP, KG_PLANES_TAP);
  for (k.channel = 0; k.channel < g->in_c; k.channel += a->block) {
    k.channels = g->in_c - k.channel < a->block ? g->in_c - k.channel : a->block;
    fill(&k);
    for (int32_t c = 0; c < k.channels && k.channel + c < g->live_c; c += 4)
      kg_depthwise_pack(g, w_live, k.channel + c, (uint32_t *)(void *)(k.packed + 2 * c * g->k_h * g->k_w), 1);
    for (int32_t iy = 0; iy < g->in_h; ++iy) {
      row_of_sums(&k, iy);
      for (int32_t ix = 0; ix < g->in_w; ++ix)
        kg_error_put_row(&out, (iy * g->in_w + ix) * g->in_c + k.channel, k.sums + ix * a->block, k.channels);
    }
  }
  kg_error_end(&out);
}
