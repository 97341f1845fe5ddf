/* Windows of convolutions along one axis: input position = output position * stride - pad + tap * dilation. */
#ifndef KG_COMMON_WINDOW_H
#define KG_COMMON_WINDOW_H

#include "check.h"

enum {
  KG_WINDOW_MAX_SIZE = 1 << 16, /* pixels along an axis, padding, channels */
  KG_WINDOW_MAX_STEP = 1 << 10  /* taps, stride, dilation */
};

/* Output position that input position `i` feeds through tap `k`, or -1 when there is none. */
static inline int32_t kg_window_output(int32_t i, int32_t k, int32_t pad, int32_t dilation, int32_t stride, int32_t outputs) {
  int32_t t = i + pad - k * dilation;
  if (t < 0 || t % stride != 0) return -1;
  t /= stride;
  return t < outputs ? t : -1;
}

/* Input position that output position `o` sees through tap `k`, or -1 when it lies beside the input. */
static inline int32_t kg_window_input(int32_t o, int32_t k, int32_t pad, int32_t dilation, int32_t stride, int32_t inputs) {
  const int32_t i = o * stride - pad + k * dilation;
  return i >= 0 && i < inputs ? i : -1;
}

/* Sizes along one axis are sane: no position computed from them leaves an int32. Taps may lie beside the input. */
void kg_check_window(kg_check *c, int32_t in, int32_t out, int32_t k, int32_t stride, int32_t dilation, int32_t pad);
/* Scales that are folded into errors (kg_conv2d_grad_input_args): a table of `channels`, whose use cannot overflow an int32 in sums of
 * `terms` products with w - w_zero. */
void kg_check_fold(kg_check *c, kg_ref fold, int32_t channels, int32_t exponent, int32_t shift, int64_t terms, int32_t w_zero);

#endif
