/* Depthwise products on cores with the DSP extension: four channels of a map, each expanded into a plane of pairs.
 *
 * A pair is one column of two neighbouring rows, the upper row in the low half; two rows make a strip. A strip holds the columns of the
 * first channel, then those of the second, third and fourth. Borders hold the zero point, so that no kernel knows about padding.
 *
 * A stream holds for each channel its weights, then int32 start value, multiplier, offset and shift. A result is
 * saturate_s8((floor(256 sum * multiplier / 2^32) + offset) >> shift), rectified or signed as in gemm.h. */
#ifndef KG_COMMON_DSP_DEPTHWISE_H
#define KG_COMMON_DSP_DEPTHWISE_H

#include <stdint.h>

enum {
  KG_DEPTHWISE_CHANNELS = 4, /* of a stream */
  KG_DEPTHWISE_MAX_TAPS = 7, /* columns of a window */
  KG_DEPTHWISE_WHOLE = 10,   /* words of a channel with a 3x3 window */
  KG_DEPTHWISE_SHIFT = 10    /* that those windows like best */
};

typedef struct kg_depthwise_block {
  int32_t strip;        /* bytes from a strip to the next one */
  int32_t plane;        /* bytes from a channel's columns to the next one's */
  int32_t y_row, y_col; /* bytes from a result to the one below, to the one at its right */
  int32_t rows, cols;   /* of results */
  int32_t row_step;     /* rows from a window to the one below */
  int32_t set;          /* bytes of pairs of weights for windows that start in an upper row */
  int32_t record;       /* bytes of a channel in the stream */
  int32_t rectified;    /* 1 or 0 */
  uint32_t *pairs;      /* room for the weights of a channel: two words for each of the stream's, which are counted in fours */
} kg_depthwise_block;

/* Input rows on their way into strips, two by two. */
typedef struct kg_depthwise_source {
  const int8_t *upper, *lower;    /* first pixels of the first two */
  int32_t upper_step, lower_step; /* bytes to the next pixel, 0 to repeat the first */
  int32_t next;                   /* bytes to the next two rows, where the steps are the same */
  int32_t strips;                 /* one where they are not */
} kg_depthwise_source;

/* `columns` pixels of four channels into four planes that lie `plane` bytes apart, from x on; strips lie four planes apart. */
void kg_depthwise_expand_s8(uint32_t *x, const kg_depthwise_source *rows, int32_t columns, int32_t plane);

/* Windows of 3x3, both steps 1 (2), rectified, with results of channel c at y + c. Ten words a channel: for each column the pairs of the
 * weights (0, 1) and (1, 2), and the start value, all times the 2^n that gives the shift KG_DEPTHWISE_SHIFT, if there is one; multiplier,
 * offset, shift. */
void kg_depthwise3x3_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b);
void kg_depthwise3x3_step2_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b);

/* Windows of any height and `taps` columns (1, 3, 5 or 7) that lie `step` (1 or 2) columns apart. For each strip a word has the weights of
 * two columns, [upper c0, upper c1, lower c0, lower c1]; first those for windows that start in an upper row, then, where row_step is odd,
 * those for windows that start in a lower one. Then start value, multiplier, offset, shift. */
void kg_depthwise_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b, int32_t taps, int32_t step);

#endif
