/* Four features of a fully connected layer at a time. */
#ifndef KG_COMMON_DSP_FC4_H
#define KG_COMMON_DSP_FC4_H

#include <stdint.h>

/* Inputs are taken in steps of 16: weights are padded with zeros to whole steps. */
enum { KG_FC4_STEP = 16 };

/* y[4 g + i] = saturate_s8((smmla(acc, multiplier, offset)) >> shift), acc = bias + sum x * w, for `groups` groups g of four features.
 *
 * x: for every four inputs the words (x0, x2) and (x1, x3) as pairs of int16, `steps` times four of those, 8-byte aligned.
 * stream: per group int32 bias[4]; for every four inputs four words, one a feature, the int8 weights of these inputs; then for every
 * feature int32 multiplier, offset, shift (0..31; of a damaged stream any bits: results are then of no use, and nothing else happens). */
void kg_fc4_s8(const uint32_t *x, const void *stream, int8_t *y, int32_t steps, int32_t groups);

#endif
