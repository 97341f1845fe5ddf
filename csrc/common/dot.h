/* Sums over int8 rows: inner products, and multiples of a row added to sums. */
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

/* acc[i] += g * (x[i] - zero); g fits an int16. */
static inline void kg_add_scaled_s8(int32_t *restrict acc, const int8_t *x, int32_t n, int32_t g, int32_t zero) {
  const int16_t gs = (int16_t)g;
  const int16_t zx = (int16_t)zero;
  for (int32_t i = 0; i < n; ++i) acc[i] += (int32_t)gs * (int16_t)(x[i] - zx);
}

#endif
