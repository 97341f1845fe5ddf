#include "conv2d_dsp.h"

#include <string.h>

#include "../../common/fixed_point.h"

enum { TILE = 4 };

/* The top left corner of a pixel's window. */
typedef struct corner {
  int32_t y, x;
} corner;

/* Everything that filling a tile needs. */
typedef struct source {
  const kg_conv2d_shape *shape;
  const int8_t *x;
  int8_t *behind; /* gathered windows, or a pixel of padding */
  int32_t tile;
  int32_t zero;
  corner at[TILE];
  int32_t inside; /* all windows lie within the image */
} source;

static void locate(source *s, int32_t first, int32_t pixels) {
  const kg_conv2d_shape *g = s->shape;
  const int32_t below = g->in_h - (g->k_h - 1) * g->dilation_h, right = g->in_w - (g->k_w - 1) * g->dilation_w;
  s->inside = 1;
  for (int32_t i = 0; i < s->tile; ++i) {
    const int32_t p = first + i < pixels ? first + i : pixels - 1;
    const int32_t row = p / g->out_w;
    corner *at = &s->at[i];
    at->y = row * g->stride_h - g->pad_top;
    at->x = (p - row * g->out_w) * g->stride_w - g->pad_left;
    if (at->y < 0 || at->x < 0 || at->y >= below || at->x >= right) s->inside = 0;
  }
}

static uint32_t *expand(const source *s, uint32_t *to, const int8_t *const *from, int32_t fours) {
  return s->tile == TILE ? kg_expand4_s8(to, from, fours) : kg_expand2_s8(to, from, fours);
}

/* A tap of all pixels; one beside the image sees the padding. */
static uint32_t *fill_tap(const source *s, uint32_t *to, int32_t ky, int32_t kx) {
  const kg_conv2d_shape *g = s->shape;
  const int8_t *from[TILE];
  for (int32_t i = 0; i < s->tile; ++i) {
    const int32_t iy = s->at[i].y + ky * g->dilation_h, ix = s->at[i].x + kx * g->dilation_w;
    const int32_t there = iy >= 0 && iy < g->in_h && ix >= 0 && ix < g->in_w;
    from[i] = there ? s->x + (iy * g->in_w + ix) * g->in_c : s->behind;
  }
  return expand(s, to, from, g->in_c / 4);
}

/* Channels in fours: pairs straight from the image, a row of taps at once where that lies side by side. */
static void fill(const source *s, uint32_t *to) {
  const kg_conv2d_shape *g = s->shape;
  const int32_t rows = s->inside && g->dilation_w == 1;
  for (int32_t ky = 0; ky < g->k_h; ++ky) {
    if (rows) {
      const int8_t *from[TILE];
      for (int32_t i = 0; i < s->tile; ++i) from[i] = s->x + ((s->at[i].y + ky * g->dilation_h) * g->in_w + s->at[i].x) * g->in_c;
      to = expand(s, to, from, g->k_w * g->in_c / 4);
      continue;
    }
    for (int32_t kx = 0; kx < g->k_w; ++kx) to = fill_tap(s, to, ky, kx);
  }
}

static int8_t *copy(int8_t *to, const int8_t *from, int32_t count) {
  int32_t i = 0;
  for (; i + 4 <= count; i += 4) memcpy(to + i, from + i, 4);
  for (; i < count; ++i) to[i] = from[i];
  return to + count;
}

/* One pixel's window, tap by tap where it reaches beyond the image. */
static void gather_window(const source *s, const corner *at, int8_t *to) {
  const kg_conv2d_shape *g = s->shape;
  for (int32_t ky = 0; ky < g->k_h; ++ky) {
    const int32_t iy = at->y + ky * g->dilation_h;
    if (s->inside && g->dilation_w == 1) {
      to = copy(to, s->x + (iy * g->in_w + at->x) * g->in_c, g->k_w * g->in_c);
      continue;
    }
    for (int32_t kx = 0; kx < g->k_w; ++kx, to += g->in_c) {
      const int32_t ix = at->x + kx * g->dilation_w;
      if (iy >= 0 && iy < g->in_h && ix >= 0 && ix < g->in_w)
        copy(to, s->x + (iy * g->in_w + ix) * g->in_c, g->in_c);
      else
        memset(to, s->zero, (size_t)g->in_c);
    }
  }
}

static void gather(const source *s, uint32_t *to) {
  const int32_t padded = kg_conv2d_dsp_padded(s->shape);
  const int8_t *from[TILE];
  for (int32_t i = 0; i < s->tile; ++i) {
    int8_t *window = s->behind + i * padded;
    gather_window(s, &s->at[i], window);
    from[i] = window;
  }
  expand(s, to, from, padded / 4);
}

static void clamp(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  for (int32_t i = 0; i < count; ++i) y[i] = (int8_t)kg_clamp_s32(y[i], lo, hi);
}

void kg_conv2d_dsp_s8(const kg_conv2d_dsp_args *a, const kg_memory *mem) {
  const kg_conv2d_shape *g = &a->shape;
  const void *stream = kg_in(mem, a->stream);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  uint8_t *scratch = (uint8_t *)kg_out(mem, a->scratch);
  uint32_t *tile = (uint32_t *)(void *)scratch;
  const int32_t padded = kg_conv2d_dsp_padded(g), pixels = g->out_h * g->out_w;
  const kg_gemm product = {padded / KG_GEMM_STEP, g->out_c / (a->tile == TILE ? 2 : 4), g->out_c, a->rectified};
  source s = {g, (const int8_t *)kg_in(mem, a->x), (int8_t *)scratch + 2 * a->tile * padded, a->tile, a->x_zero, {{0, 0}}, 0};
  const int32_t gathers = kg_conv2d_dsp_gathers(g), small = pixels < a->tile;
  int8_t *spare = s.behind + kg_conv2d_dsp_behind(g, a->tile);

  if (gathers)
    memset(s.behind, 0, (size_t)(a->tile * padded)); /* what is behind the windows meets weights of 0 */
  else
    memset(s.behind, a->x_zero, (size_t)g->in_c);
  for (int32_t p = 0; p < pixels; p += a->tile) {
    const int32_t first = small || p + a->tile <= pixels ? p : pixels - a->tile; /* the last tile may do pixels again */
    int8_t *to = small ? spare : y + first * g->out_c;
    locate(&s, first, pixels);
    if (gathers)
      gather(&s, tile);
    else
      fill(&s, tile);
    if (a->tile == TILE)
      kg_gemm2x4_s8(tile, stream, to, &product);
    else
      kg_gemm4x2_s8(tile, stream, to, &product);
  }
  if (small) memcpy(y, spare, (size_t)(pixels * g->out_c));
  if (a->y_min > -128 || a->y_max < 127) clamp(y, pixels * g->out_c, a->y_min, a->y_max);
}
