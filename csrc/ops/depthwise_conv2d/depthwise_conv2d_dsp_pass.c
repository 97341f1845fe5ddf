#include "depthwise_conv2d_dsp_pass.h"

#include "../../common/fixed_point.h"

/* A column of four channels in a strip. */
typedef struct column {
  uint32_t pairs[KG_DEPTHWISE_CHANNELS];
} column;

static kg_depthwise_map open_map(const kg_depthwise_conv2d_dsp_args *a, const kg_depthwise_shape *s, const kg_memory *mem,
                                 int32_t first_col, int32_t cols) {
  const int8_t zero = (int8_t)a->x_zero;
  kg_depthwise_map m = {a, s, (const int8_t *)kg_in(mem, a->x), 0, 0, (uint32_t *)kg_out(mem, a->scratch), 0, 0,
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
static int32_t is_border(const kg_depthwise_map *m, int32_t strip) {
  const int32_t row = 2 * strip - m->shape->pad_top;
  return m->args->block_h == m->shape->out_h && (row < -1 || row >= m->shape->in_h);
}

/* What lies beside the image and stays as it is for all channels. */
static void fill_borders(const kg_depthwise_map *m, int32_t strips) {
  const uint32_t pair = ((uint32_t)m->args->x_zero & 0xFFFFu) * 0x10001u;
  uint32_t *plane = m->planes;
  for (int32_t i = 0; i < KG_DEPTHWISE_CHANNELS * strips; ++i, plane += m->columns) {
    const int32_t left = is_border(m, i / KG_DEPTHWISE_CHANNELS) ? m->columns : m->left;
    for (int32_t col = 0; col < left; ++col) plane[col] = pair;
    for (int32_t col = m->left + m->image_cols; col < m->columns; ++col) plane[col] = pair;
  }
}

/* Strips [from, to) of four channels, of which strip `first` lies at the start of the planes. */
static void expand(const kg_depthwise_map *m, int32_t channel, int32_t first, int32_t from, int32_t to) {
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
static void move(const kg_depthwise_map *m, int32_t from, int32_t count) {
  column *to = (column *)(void *)m->planes;
  const column *source = to + from * m->columns, *end = source + count * m->columns;
  while (source < end) *to++ = *source++;
}

static void clamp(int8_t *y, int32_t count, int32_t lo, int32_t hi) {
  for (int32_t i = 0; i < count; ++i) y[i] = (int8_t)kg_clamp_s32(y[i], lo, hi);
}

void kg_depthwise_pass_begin(kg_depthwise_pass *p, const kg_depthwise_conv2d_dsp_args *a, const kg_memory *mem) {
  p->memory = mem;
  p->shape = kg_depthwise_dsp_shape(a);
  const kg_depthwise_shape *s = &p->shape;
  p->map.args = a;
  p->block.y_row = a->swapped ? s->in_c : s->out_w * s->in_c;
  p->block.y_col = a->swapped ? s->out_h * s->in_c : s->in_c;
  p->block.row_step = s->stride_h;
  p->block.set = 8 * kg_depthwise_dsp_set(s);
  p->block.record = 4 * kg_depthwise_dsp_record(s, a->whole);
  p->block.rectified = a->rectified;
  p->row = s->out_h; /* at the end of columns before the first ones */
  p->channel = s->in_c;
  p->col = -a->block_w;
}

static void open_columns(kg_depthwise_pass *p) {
  const kg_depthwise_conv2d_dsp_args *a = p->map.args;
  const kg_depthwise_shape *s = &p->shape;
  const int32_t strips = kg_depthwise_dsp_strips(s, a->block_h);
  p->block.cols = p->col + a->block_w < s->out_w ? a->block_w : s->out_w - p->col;
  p->map = open_map(a, s, p->memory, p->col, p->block.cols);
  p->block.plane = 4 * p->map.columns;
  p->block.strip = KG_DEPTHWISE_CHANNELS * p->block.plane;
  p->block.pairs = p->map.planes + KG_DEPTHWISE_CHANNELS * p->map.columns * strips;
  fill_borders(&p->map, strips);
}

/* On to the next rows, channels or columns; 0 where there are none. */
static int32_t step(kg_depthwise_pass *p) {
  const kg_depthwise_conv2d_dsp_args *a = p->map.args;
  p->row += a->block_h;
  if (p->row < p->shape.out_h) return 1;
  p->row = p->first = p->end = 0;
  p->channel += KG_DEPTHWISE_CHANNELS;
  if (p->channel < p->shape.in_c) return 1;
  p->channel = 0;
  p->col += a->block_w;
  if (p->col >= p->shape.out_w) return 0;
  open_columns(p);
  return 1;
}

int32_t kg_depthwise_pass_next(kg_depthwise_pass *p) {
  const kg_depthwise_conv2d_dsp_args *a = p->map.args;
  const kg_depthwise_shape *s = &p->shape;
  int8_t *y = (int8_t *)kg_out(p->memory, a->y);
  if (!step(p)) {
    if (a->y_min > -128 || a->y_max < 127) clamp(y, s->out_h * s->out_w * s->in_c, a->y_min, a->y_max);
    return 0;
  }
  const int32_t last = s->in_c - KG_DEPTHWISE_CHANNELS,
                channel = p->channel < last ? p->channel : last; /* the last may come again */
  p->stream = (const uint32_t *)kg_in(p->memory, a->stream) + channel * (p->block.record / 4);
  p->y = y + p->row * p->block.y_row + p->col * p->block.y_col + channel;
  p->block.rows = p->row + a->block_h < s->out_h ? a->block_h : s->out_h - p->row;
  const int32_t begin = p->row * s->stride_h / 2, end = begin + kg_depthwise_dsp_strips(s, p->block.rows);
  if (begin > p->first && p->end > begin) move(&p->map, begin - p->first, p->end - begin);
  expand(&p->map, channel, begin, p->end > begin ? p->end : begin, end);
  p->first = begin;
  p->end = end;
  return 1;
}
