/* Rows of int8, four at a time. */
#ifndef KG_COMMON_DSP_BYTES_H
#define KG_COMMON_DSP_BYTES_H

#include <stdint.h>

/* y = max(y, x) for `count` elements. */
void kg_max_s8(int8_t *y, const int8_t *x, int32_t count);

/* y = y limited to lo..hi, lo <= hi, for `count` elements. */
void kg_clamp_s8(int8_t *y, int32_t count, int32_t lo, int32_t hi);

#endif
