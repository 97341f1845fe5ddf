/* Inner products of int8 rows. */
#ifndef KG_COMMON_DOT_H
#define KG_COMMON_DOT_H

#include <stdint.h>

/* sum (x[i] - x_zero) * (w[i] - w_zero). The int16 differences let compilers use 16x16->32 multiply-add. */
static inline int32_t kg_dot_s8(const int8_t *x, const int8_t *w, int32_t n, int32_t x_zero, int32_t w_zero) {
  const int16_t zx = (int16_t)x_zero;
  const int16_t zw = (int16_t)w_zero;
  int32_t acc = 0;
  for (int32_t i = 0; i < n; ++i) {
    int16_t a = (int16_t)(x[i] - zx);
    int16_t b = (int16_t)(w[i] - zw);
    acc += (int32_t)a * b;
  }
  return acc;
}

/* a + b with wrap-around (a hostile bias must not be undefined behaviour). */
static inline int32_t kg_add_wrap(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

#endif
