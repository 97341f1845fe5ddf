/* Tiles of a matrix product: eight sums in registers. All of a convolution's arithmetic on cores with the DSP extension runs here.
 *
 * Inputs are pairs of int16, each input times 256, so that a sum has 8 bits of fraction and fits int32 while |sum| < 2^23. They come in
 * groups of four, of which (0, 2) make the first pair and (1, 3) the second.
 *
 * A stream holds, for two (four) output channels: int32 biases times 256; for each pair of inputs one word (two words) of int8 weights
 * [c0 k0, c1 k0, c0 k1, c1 k1] ([c2 k0, ..]); then int32 multiplier, offset, shift of each channel. A result is
 * saturate_s8((floor(sum * multiplier / 2^32) + offset) >> shift), `rectified`, where nothing below the zero point is wanted; otherwise
 * t = floor(sum * multiplier / 2^32) + 64 gives saturate_s8((t + offset - (t < 0 ? 128 : 0)) >> shift): both are gemmlowp's two roundings. */
#ifndef KG_COMMON_DSP_GEMM_H
#define KG_COMMON_DSP_GEMM_H

#include <stdint.h>

/* Inputs are padded with zero weights to whole steps. */
enum { KG_GEMM_STEP = 8 };

typedef struct kg_gemm {
  int32_t steps;     /* of 8 inputs */
  int32_t groups;    /* of two (four) output channels */
  int32_t y_stride;  /* bytes from a pixel's results to the next one's */
  int32_t rectified; /* 1 or 0 */
} kg_gemm;

/* Two channels of four pixels. x: for each pair of inputs the words of the four pixels, 8-byte aligned. */
void kg_gemm2x4_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g);
/* Four channels of two pixels, for long sums: x takes half the memory. */
void kg_gemm4x2_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_gemm *g);

/* `fours` times four int8 of four (two) pixels as pairs times 256, into x; gives the end of what was written. */
uint32_t *kg_expand4_s8(uint32_t *x, const int8_t *const *pixels, int32_t fours);
uint32_t *kg_expand2_s8(uint32_t *x, const int8_t *const *pixels, int32_t fours);

#endif
