/* What the pooling kernels share: sizes, and which input pixels an output pixel sees. */
#ifndef KG_COMMON_POOL2D_H
#define KG_COMMON_POOL2D_H

#include "check.h"

typedef struct kg_pool2d_shape {
  int32_t in_h, in_w, channels;
  int32_t out_h, out_w;
  int32_t k_h, k_w;
  int32_t stride_h, stride_w;
  int32_t pad_top, pad_left;
} kg_pool2d_shape;

/* Positions first <= i < end. */
typedef struct kg_span {
  int32_t first, end;
} kg_span;

/* Input positions that output position `o` sees along one axis of `size` pixels. */
static inline kg_span kg_pool_inputs(int32_t o, int32_t stride, int32_t pad, int32_t k, int32_t size) {
  const int32_t origin = o * stride - pad;
  kg_span s = {origin < 0 ? 0 : origin, origin + k > size ? size : origin + k};
  return s;
}

/* Output positions that see input position `i` along one axis with `outputs` of them. */
static inline kg_span kg_pool_outputs(int32_t i, int32_t stride, int32_t pad, int32_t k, int32_t outputs) {
  const int32_t before = i + pad - k + 1;
  const int32_t last = (i + pad) / stride;
  kg_span s = {before <= 0 ? 0 : (before + stride - 1) / stride, last + 1 > outputs ? outputs : last + 1};
  return s;
}

/* Sizes are sane and every window sees at least one pixel. */
void kg_pool2d_check_shape(kg_check *c, const kg_pool2d_shape *s);
/* Elements of the input and of the output. */
int64_t kg_pool2d_inputs(kg_check *c, const kg_pool2d_shape *s);
int64_t kg_pool2d_outputs(kg_check *c, const kg_pool2d_shape *s);
/* A pool of int16 x into y, clamped to y_min..y_max, without a mask: everything but its own limits. Gives the verdict, 1 or 0. */
int32_t kg_pool2d_s16_check(kg_check *c, const kg_pool2d_shape *s, kg_ref x, kg_ref y, kg_ref mask, int32_t y_min, int32_t y_max);

#endif
