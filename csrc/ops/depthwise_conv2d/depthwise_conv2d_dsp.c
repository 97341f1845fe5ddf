#include "depthwise_conv2d_dsp.h"

#include "../../common/fixed_point.h"

/* A column of four channels in a strip. */
typedef struct column {
  uint32_t pairs[KG_DEPTHWISE_CHANNELS];
} column;

/* Results [.., first_col + cols) of all rows, and the planes that they come from. */
typedef struct map {
  const kg_depthwise_conv2d_dsp_args *args;
  const kg_depthwise_shape *shape;
  const int8_t *x;
  int32_t x_row, x_col; /* bytes from a pixel to the one below, to the one at its right */
  uint32_t *planes;
  int32_t columns;    /* of a plane */
  int32_t left;       /* columns of padding before the image */
  int32_t image_col;  /* the column of the image behind them */
  int32_t image_cols; /* columns of the image in a plane */
  int8_t zero[KG_DEPTHWISE_CHANNELS];
} map;

static map open_map(const kg_depthwise_conv2d_dsp_args *a, const kg_depthwise_shape *s, const kg_memory *mem, int32_t first_col,
                    int32_t cols) {
  const int8_t zero = (int8_t)a->x_zero;
  map m = {a, s, (const int8_t *)kg_in(mem, a->x), 0, 0, (uint32_t *)kg_out(mem, a->scratch), 0, 0,
           0, 0, {zero, zero, zero, zero}};
  m.x_row = a->swapped ? s->in_c : s->in_w * s->in_c;
  m.x_col = a->swapped ? s->in_h * s->in_c : s->in_c;
  const int32_t first = first_col * s->stride_w - s->pad_left;
  m.columns = kg_depthwise_dsp_columns(s, cols);
  m.image_col = first < 0 ? 0 : first;
  m.left = m.image_col - first;
  if (m.left > m.columns) m.left = m.columns;
  const int32_t room = m.columns - m.left, there = s->in_w - m.image_col;
  m.image_cols = there < 0 ? 0 : there < room ? there : room;
  return m;
}

/* Both rows of a strip lie beside the image, and it stays in its place: there is one block. */
static int32_t is_border(const map *m, int32_t strip) {
  const int32_t row = 2 * strip - m->shape->pad_top;
  return m->args->block_h == m->shape->out_h && (row < -1 || row >= m->shape->in_h);
}

/* What lies beside the image and stays as it is for all channels. */
static void fill_borders(const map *m, int32_t strips) {
  const uint32_t pair = ((uint32_t)m->args->x_zero & 0xFFFFu) * 0x10001u;
  uint32_t *plane = m->planes;
  for (int32_t i = 0; i < KG_DEPTHWISE_CHANNELS * strips; ++i, plane += m->columns) {
    const int32_t left = is_border(m, i / KG_DEPTHWISE_CHANNELS) ? m->columns : m->left;
    for (int32_t col = 0; col < left; ++col) plane[col] = pair;
    for (int32_t col = m->left + m->image_cols; col < m->columns; ++col) plane[col] = pair;
  }
}

/* Strips [from, to) of four channels, of which strip `first` lies at the start of the planes. */
static void expand(const map *m, int32_t channel, int32_t first, int32_t from, int32_t to) {
  const kg_depthwise_shape *s = m->shape;
  const int8_t *origin = m->x + m->image_col * m->x_col + channel;
  const int32_t words = KG_DEPTHWISE_CHANNELS * m->columns;
  uint32_t *strip = m->planes + (from - first) * words + m->left;
  while (from < to) {
    const int32_t row = 2 * from - s->pad_top;
    kg_depthwise_source rows = {m->zero, m->zero, 0, 0, 2 * m->x_row, 1};
    if (row >= 0 && row < s->in_h) {
      rows.upper = origin + row * m->x_row;
      rows.upper_step = m->x_col;
    }
    if (row >= -1 && row < s->in_h - 1) {
      rows.lower = origin + (row + 1) * m->x_row;
      rows.lower_step = m->x_col;
    }
    if (row >= 0 && row < s->in_h - 1) { /* as many as lie inside */
      const int32_t inside = (s->in_h - row) / 2;
      rows.strips = inside < to - from ? inside : to - from;
    }
    if (!is_border(m, from)) kg_depthwise_expand_s8(strip, &rows, m->image_cols, 4 * m->columns);
    from += rows.strips;
    strip += rows.strips * words;
  }
}

/* `count` strips, from strip `from` on, to the start of the planes. */
static void move(const map *m, int32_t from, int32_t count) {
  column *to = (column *)(void *)m->planes;
  const column *source = to + from * m->columns, *end = source + count * m->columns;
  while (source < end) *to++ = *source++;
}

/* All results of four channels. */
static void four_channels(const map *m, int32_t channel, const uint32_t *stream, int8_t *y, kg_depthwise_block *block) {
  const kg_depthwise_conv2d_dsp_args *a = m->args;
  const kg_depthwise_shape *s = m->shape;
  int32_t first = 0, end = 0; /* strips in the planes */
  for (int32_t row = 0; row < s->out_h; row += a->block_h, y += a->block_h * block->y_row) {
    block->rows = row + a->block_h < s->out_h ? a->block_h : s->out_h - row;
    const int32_t begin = row * s->stride_h / 2;
    const int32_t kept = begin < end ? begin : end;
    if (kept > first && end > kept) move(m, kept - first, end - kept);
    first = begin;
    const int32_t wanted = first + kg_depthwise_dsp_strips(s, block->rows);
    expand(m, channel, first, end > first ? end : first, wanted);
    end = wanted;
    if (!a->whole)
      kg_depthwise_s8(m->planes, stream, y, block, kg_depthwise_dsp_taps(s), s->stride_w);
    else if (s->stride_w == 1)
      kg_depthwise3x3_s8(m->planes, stream, y, block);
    else
      kg_depthwise3x3_step2_s8(m->planes, stream, y, block);
  }
}

static void clamp(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  for (int32_t i = 0; i < count; ++i) y[i] = (int8_t)kg_clamp_s32(y[i], lo, hi);
}

void kg_depthwise_conv2d_dsp_s8(const kg_depthwise_conv2d_dsp_args *a, const kg_memory *mem) {
  const kg_depthwise_shape shape = kg_depthwise_dsp_shape(a), *s = &shape;
  const uint32_t *stream = (const uint32_t *)kg_in(mem, a->stream);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  const int32_t record = kg_depthwise_dsp_record(s, a->whole), strips = kg_depthwise_dsp_strips(s, a->block_h);
  kg_depthwise_block block = {0};
  block.y_row = a->swapped ? s->in_c : s->out_w * s->in_c;
  block.y_col = a->swapped ? s->out_h * s->in_c : s->in_c;
  block.row_step = s->stride_h;
  block.set = 8 * kg_depthwise_dsp_set(s);
  block.record = 4 * record;
  block.rectified = a->rectified;
  for (int32_t col = 0; col < s->out_w; col += a->block_w) {
    block.cols = col + a->block_w < s->out_w ? a->block_w : s->out_w - col;
    const map m = open_map(a, s, mem, col, block.cols);
    block.plane = 4 * m.columns;
    block.strip = KG_DEPTHWISE_CHANNELS * block.plane;
    fill_borders(&m, strips);
    block.pairs = m.planes + KG_DEPTHWISE_CHANNELS * m.columns * strips;
    for (int32_t next = 0; next < s->in_c; next += KG_DEPTHWISE_CHANNELS) {
      const int32_t last = s->in_c - KG_DEPTHWISE_CHANNELS, c = next < last ? next : last; /* the last ones may be done again */
      four_channels(&m, c, stream + c * record, y + col * block.y_col + c, &block);
    }
  }
  if (a->y_min > -128 || a->y_max < 127) clamp(y, s->out_h * s->out_w * s->in_c, a->y_min, a->y_max);
}
