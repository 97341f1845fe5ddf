#include "conv2d_dsp.h"

#include <string.h>

#include "../../common/fixed_point.h"

enum { TILE = KG_CONV2D_DSP_TILE };

/* The top left corner of a pixel's window. */
typedef struct corner {
  int32_t y, x;
} corner;

/* Everything that filling a tile with windows needs. */
typedef struct source {
  const kg_conv2d_shape *shape;
  const int8_t *x;
  int8_t *lines;   /* a row of a window for each pixel */
  uint32_t *pairs; /* what the product reads */
  int32_t zero;
  int32_t row, fours, columns; /* bytes of a window's row, and how they divide */
  int32_t below, right;        /* windows that begin beyond are cut off */
  int32_t copies;
  int32_t column; /* of the next pixel */
  corner next;
  int32_t pixels; /* in the tile */
  int32_t inside; /* all their windows lie within the image */
  corner at[TILE];
  const int8_t *from[TILE]; /* the windows of a tile that is inside */
} source;

static source open(const kg_conv2d_dsp_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *g = &a->shape;
  const int32_t row = kg_conv2d_dsp_row(g);
  source s = {0};
  s.shape = g;
  s.x = (const int8_t *)kg_in(mem, a->x);
  s.pairs = (uint32_t *)kg_out(mem, a->scratch);
  s.lines = (int8_t *)s.pairs + 2 * a->tile * a->chunk + (a->chunk < kg_conv2d_dsp_inputs(g) ? 16 * a->block : 0);
  s.zero = a->x_zero;
  s.row = row;
  s.fours = row / 4;
  s.columns = row % 4;
  s.below = g->in_h - (g->k_h - 1) * g->dilation_h;
  s.right = g->in_w - (g->k_w - 1) * g->dilation_w;
  s.copies = kg_conv2d_dsp_copies(g);
  return s;
}

static void seek(source *s, int32_t pixel) {
  const kg_conv2d_shape *g = s->shape;
  const int32_t row = pixel / g->out_w;
  s->column = pixel - row * g->out_w;
  s->next = (corner){row * g->stride_h - g->pad_top, s->column * g->stride_w - g->pad_left};
}

/* The windows of the next pixels. */
static void locate(source *s, int32_t pixels) {
  const kg_conv2d_shape *g = s->shape;
  s->pixels = pixels;
  s->inside = 1;
  for (int32_t i = 0; i < pixels; ++i) {
    const corner at = s->next;
    s->at[i] = at;
    if (s->copies && (at.y < 0 || at.x < 0 || at.y >= s->below || at.x >= s->right || g->dilation_w > 1))
      s->inside = 0;
    else
      s->from[i] = s->x + (at.y * g->in_w + at.x) * g->in_c;
    s->next.x += g->stride_w;
    if (++s->column == g->out_w) {
      s->column = 0;
      s->next.x = -g->pad_left;
      s->next.y += g->stride_h;
    }
  }
}

static uint32_t *expand(const source *s, uint32_t *to, const int8_t *const *from, const kg_rows *rows) {
  if (rows->fours == 0) return to;
  return s->pixels == TILE ? kg_expand4_s8(to, from, rows) : kg_expand1_s8(to, from, rows);
}

/* Row `ky` of pixel i's window, copied where it is not there as it should be. */
static const int8_t *line(const source *s, int32_t i, int32_t ky) {
  const kg_conv2d_shape *g = s->shape;
  const int32_t y = s->at[i].y + ky * g->dilation_h;
  int32_t x = s->at[i].x;
  const int32_t there = y >= 0 && y < g->in_h;
  if (there && x >= 0 && x < s->right && g->dilation_w == 1) return s->x + (y * g->in_w + x) * g->in_c;
  int8_t *to = s->lines + i * s->row;
  memset(to, s->zero, (size_t)s->row);
  if (!there) return to;
  const int8_t *image = s->x + y * g->in_w * g->in_c;
  if (g->dilation_w == 1) { /* the taps that are there lie side by side */
    const int32_t first = x < 0 ? -x : 0, taps = (g->in_w - x < g->k_w ? g->in_w - x : g->k_w) - first;
    if (taps > 0) memcpy(to + first * g->in_c, image + (x + first) * g->in_c, (size_t)(taps * g->in_c));
    return to;
  }
  for (int32_t kx = 0; kx < g->k_w; ++kx, x += g->dilation_w)
    if (x >= 0 && x < g->in_w) memcpy(to + kx * g->in_c, image + x * g->in_c, (size_t)g->in_c);
  return to;
}

/* What row `ky` has beyond its fours goes to the pairs behind all fours, which are 0 so far. */
static void put_columns(const source *s, uint32_t *to, const int8_t *const *from, int32_t offset, int32_t ky) {
  const int32_t fours = (s->shape->k_h + 3) / 4, words = s->pixels;
  int8_t *half = (int8_t *)(to + (ky / 4 * 2 + ky % 2) * words) + ky % 4 / 2 * 2 + 1;
  for (int32_t j = 0; j < s->columns; ++j, half += 8 * fours * words) {
    const int32_t at = offset + 4 * s->fours + j;
    half[0] = from[0][at];
    if (words != TILE) continue;
    half[4] = from[1][at];
    half[8] = from[2][at];
    half[12] = from[3][at];
  }
}

/* Whole windows. */
static void fill(const source *s) {
  const kg_conv2d_shape *g = s->shape;
  uint32_t *to = s->pairs, *columns = to + g->k_h * s->fours * 2 * s->pixels;
  const int32_t step = g->in_w * g->in_c * g->dilation_h;
  const kg_rows one = {1, s->fours, 0}, all = {g->k_h, s->fours, step};
  if (s->columns) memset(columns, 0, (size_t)(s->columns * ((g->k_h + 3) / 4) * 8 * s->pixels));
  if (s->inside) {
    expand(s, to, s->from, &all);
    if (s->columns)
      for (int32_t ky = 0; ky < g->k_h; ++ky) put_columns(s, columns, s->from, ky * step, ky);
    return;
  }
  for (int32_t ky = 0; ky < g->k_h; ++ky) {
    const int8_t *from[TILE];
    for (int32_t i = 0; i < s->pixels; ++i) from[i] = line(s, i, ky);
    to = expand(s, to, from, &one);
    if (s->columns) put_columns(s, columns, from, 0, ky);
  }
}

/* `count` inputs of long windows, from the first-th on. */
static void fill_part(const source *s, int32_t first, int32_t count) {
  uint32_t *to = s->pairs;
  int32_t ky = first / s->row, offset = first - ky * s->row;
  for (; count > 0; ++ky, offset = 0) {
    const int32_t bytes = s->row - offset < count ? s->row - offset : count;
    const kg_rows part = {1, bytes / 4, 0};
    const int8_t *from[TILE];
    for (int32_t i = 0; i < s->pixels; ++i) from[i] = line(s, i, ky) + offset;
    to = expand(s, to, from, &part);
    count -= bytes;
  }
}

static void tile(const source *s, const uint8_t *stream, int8_t *y, const kg_gemm *product) {
  if (s->pixels == TILE)
    kg_gemm2x4_s8(s->pairs, stream, y, product);
  else
    kg_gemm2x1_s8(s->pairs, stream, y, product);
}

/* All channels of a tile whose windows are in `pairs`. An odd one at the end has a partner that is dropped. */
static void multiply(const kg_conv2d_dsp_args *a, const source *s, const uint8_t *stream, int8_t *y, int32_t inputs) {
  const int32_t group = 32 + 2 * inputs, out_c = a->shape.out_c, whole = out_c / 2 * group;
  kg_gemm product = {inputs / 2, whole, out_c, a->form, 0, 0};
  if (whole > 0) tile(s, stream, y, &product);
  if (out_c % 2 == 0) return;
  int8_t last[2 * TILE];
  product.bytes = group;
  product.y_stride = 2;
  tile(s, stream + whole, last, &product);
  for (int32_t i = 0; i < s->pixels; ++i) y[i * out_c + out_c - 1] = last[2 * i];
}

/* Windows too long for the scratch memory: part by part, `block` channels at a time, whose sums are kept. */
static void multiply_parts(const kg_conv2d_dsp_args *a, const source *s, const uint8_t *stream, int8_t *y, int32_t inputs) {
  int32_t *sums = (int32_t *)(void *)s->pairs + a->chunk * TILE / 2;
  for (int32_t c = 0; c < a->shape.out_c; c += a->block) {
    const int32_t groups = (a->shape.out_c - c < a->block ? a->shape.out_c - c : a->block) / 2;
    for (int32_t k = 0; k < inputs; k += a->chunk) {
      const int32_t count = inputs - k < a->chunk ? inputs - k : a->chunk, last = k + count == inputs;
      const int32_t bytes = groups * ((k == 0 ? 8 : 0) + 2 * count + (last ? 24 : 0));
      const kg_gemm product = {count / 2, bytes, a->shape.out_c, last ? a->form : KG_GEMM_KEEP, k > 0, sums};
      fill_part(s, k, count);
      kg_gemm2x4_s8(s->pairs, stream, y + c, &product);
      stream += bytes;
    }
  }
}

static void clamp(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  for (int32_t i = 0; i < count; ++i) y[i] = (int8_t)kg_clamp_s32(y[i], lo, hi);
}

void kg_conv2d_dsp_s8(const kg_conv2d_dsp_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *g = &a->shape;
  const uint8_t *stream = (const uint8_t *)kg_in(mem, a->stream);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  const int32_t inputs = kg_conv2d_dsp_inputs(g), pixels = g->out_h * g->out_w, parts = a->chunk < inputs;
  source s = open(a, mem);
  seek(&s, 0);
  for (int32_t p = 0; p < pixels;) {
    const int32_t left = pixels - p;
    if (a->tile == TILE && left < TILE && pixels >= TILE && (left == TILE - 1 || parts)) {
      p = pixels - TILE; /* some pixels again cost less than each of the others alone */
      seek(&s, p);
    }
    locate(&s, a->tile == TILE && pixels - p >= TILE ? TILE : 1);
    if (parts) {
      multiply_parts(a, &s, stream, y + p * g->out_c, inputs);
    } else {
      fill(&s);
      multiply(a, &s, stream, y + p * g->out_c, inputs);
    }
    p += s.pixels;
  }
  if (a->y_min > -128 || a->y_max < 127) clamp(y, pixels * g->out_c, a->y_min, a->y_max);
}
