/* A linear function of two operands, element by element. */
#ifndef KG_COMMON_DSP_LINEAR2_H
#define KG_COMMON_DSP_LINEAR2_H

#include <stdint.h>

/* Bits behind the point of the factors: many, or fewer for steep functions. */
enum { KG_LINEAR2_FINE = 22, KG_LINEAR2_STEEP = 20 };

/* |factor| < 2^23; 128 (|factor1| + |factor2|) + |offset| < 2^31; shift is one of the two above. */
typedef struct kg_linear2 {
  int32_t factor1, factor2, offset, shift;
} kg_linear2;

/* (x1 factor1 + x2 factor2 + offset) / 2^shift, rounded down. */
static inline int32_t kg_linear2_value(const kg_linear2 *f, int32_t x1, int32_t x2) {
  return (x1 * f->factor1 + x2 * f->factor2 + f->offset) >> f->shift;
}

/* y = saturate_s8(kg_linear2_value(f, x1, x2)) for `count` elements, a multiple of 8; y may be x1 or x2. */
void kg_linear2_s8(const int8_t *x1, const int8_t *x2, int8_t *y, int32_t count, const kg_linear2 *f);

#endif
