/* Tiles of a matrix product: two output channels of four pixels (or of one), eight (two) sums in registers. All of a convolution's
 * arithmetic on cores with the DSP extension runs here.
 *
 * Inputs are pairs of int16, each input times 256, so that a sum has 8 bits of fraction and fits int32 while |sum| < 2^23. They come in
 * groups of four, of which (0, 2) make the first pair and (1, 3) the second.
 *
 * A stream holds, for every two output channels: int32 biases times 256; for each pair of inputs a word of int8 weights
 * [c0 k0, c1 k0, c0 k1, c1 k1]; then three int32 of scaling for each channel. With n = floor(sum * multiplier / 2^32) a result is
 * saturate_s8((n + offset - (sum < 0 ? fall : 0)) >> shift), which gemmlowp's two roundings are when the compiler chooses the numbers: `fall`
 * is 0 where nothing below the zero point is wanted. The forms say where the numbers come from. */
#ifndef KG_COMMON_DSP_GEMM_H
#define KG_COMMON_DSP_GEMM_H

#include <stdint.h>

/* The three int32 of scaling, and what a form takes for granted. */
enum {
  KG_GEMM_SIGNED = 0,       /* multiplier, offset, shift + 256 fall */
  KG_GEMM_RECTIFIED = 1,    /* multiplier, offset, shift; fall 0 */
  KG_GEMM_SIGNED_14 = 2,    /* multiplier, offset, fall; shift 14 */
  KG_GEMM_RECTIFIED_11 = 3, /* multiplier, offset, 11; fall 0; and so on */
  KG_GEMM_RECTIFIED_12 = 4,
  KG_GEMM_RECTIFIED_13 = 5,
  KG_GEMM_RECTIFIED_14 = 6,
  KG_GEMM_RECTIFIED_15 = 7,
  KG_GEMM_FORMS = 8,
  KG_GEMM_KEEP = 8 /* no scaling in the stream: the sums are kept for more inputs to come */
};

typedef struct kg_gemm {
  int32_t pairs;    /* of inputs, even */
  int32_t bytes;    /* of stream, all groups of two channels */
  int32_t y_stride; /* bytes from a pixel's results to the next one's */
  int32_t form;
  int32_t resume; /* 1: no biases in the stream, sums go on from where they were kept */
  int32_t *sums;  /* eight for every group, where they are kept */
} kg_gemm;

/* Two channels of four pixels. x: for each pair of inputs the words of the four pixels, 8-byte aligned. */
void kg_gemm2x4_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g);
/* Two channels of one pixel. Nothing is kept. */
void kg_gemm2x1_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g);

/* Bytes that lie in rows: `fours` times four in each, the next row `step` bytes after the beginning of the one before. */
typedef struct kg_rows {
  int32_t rows, fours, step;
} kg_rows;

/* All rows of four pixels (of one) as pairs times 256, into x; gives the end of what was written. */
uint32_t *kg_expand4_s8(uint32_t *x, const int8_t *const *pixels, const kg_rows *r);
uint32_t *kg_expand1_s8(uint32_t *x, const int8_t *const *pixels, const kg_rows *r);

#endif
