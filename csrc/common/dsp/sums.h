/* Sums of products in memory, four pixels at a time: what layers that learn are computed with, forward and backward. Their biases and
 * weights change, so sums start from whatever is in memory and take any number of parts (frozen and learned weights, long windows) before
 * they become results.
 *
 * Inputs are pairs of int16 in blocks of five words: pixels 0, 1, a byte offset into the weights, pixels 2, 3. Pairs that are zero in all
 * four pixels are left out: behind a clamp most errors are zero, and so are most activations. Of four inputs (0, 2) make the first pair and
 * (1, 3) the second. A word of weights, at that offset, is [c0 k0, c1 k0, c0 k1, c1 k1] for the channels c0, c1 and the inputs k0, k1 of
 * a pair. */
#ifndef KG_COMMON_DSP_SUMS_H
#define KG_COMMON_DSP_SUMS_H

#include <stdint.h>
#include <string.h>

enum {
  KG_SUMS_PIXELS = 4,
  KG_SUMS_BLOCK = 5,     /* words of a block */
  KG_SUMS_STEP = 4,      /* blocks come in steps; empty ones fill up the last */
  KG_SUMS_SPARE = 4,     /* blocks that packing and filling up may write behind the last one */
  KG_SUMS_SUM_LIMIT = 24 /* bits of a sum that scaling keeps, larger ones saturate */
};

typedef struct kg_sums {
  int32_t groups;      /* of two channels */
  int32_t group_bytes; /* of weights, from a group to the next */
  int32_t row_bytes;   /* of sums, from a pixel to the next */
} kg_sums;

/* sums[pixel][channel] += products with the inputs in [pairs, end), which is not empty and a whole number of steps. */
void kg_sums2x4(const uint32_t *pairs, const uint32_t *end, const void *weights, int32_t *sums, const kg_sums *s);

/* Empty blocks behind `end`, up to a whole step. */
static inline uint32_t *kg_sums_fill_up(const uint32_t *pairs, uint32_t *end) {
  for (; (end - pairs) % (KG_SUMS_STEP * KG_SUMS_BLOCK) != 0; end += KG_SUMS_BLOCK) memset(end, 0, 4 * KG_SUMS_BLOCK);
  return end;
}

/* `fours` times four inputs of four pixels, zero + x each, as blocks; `offset` is that of the first pair. Gives the end. */
uint32_t *kg_sums_inputs(uint32_t *to, const int8_t *const *pixels, int32_t fours, int32_t zero, int32_t offset);

typedef struct kg_sums_fold {
  int32_t half, shift; /* rounding, 6..20 bits */
  int32_t offset;      /* of the first pair */
} kg_sums_fold;

/* The same for errors: (x * fold + half) >> shift, where `fold` holds the factors of four inputs as the pairs (0, 2), (1, 3). */
uint32_t *kg_sums_errors(uint32_t *to, const int8_t *const *pixels, int32_t fours, const uint32_t *fold, const kg_sums_fold *f);

typedef struct kg_sums_clamp {
  int32_t eights; /* results: eight times as many */
  int32_t range;  /* y_max - y_min */
  int32_t low;    /* y_min */
} kg_sums_clamp;

/* y = clamp(scaled sums) and, where `mask` is not NULL, a bit for each: 1 where nothing was clamped. `scaling` has multiplier, offset and
 * shift (1..31) of each channel: with t = floor(256 sum multiplier / 2^32) + 64, saturated to int32, v = (t + offset - (t < 0 ? 128 : 0))
 * >> shift is the result minus y_min; this is gemmlowp's two roundings. */
void kg_sums_results(const int32_t *sums, const int32_t *scaling, int8_t *y, uint8_t *mask, const kg_sums_clamp *c);

#endif
