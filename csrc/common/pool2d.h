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

static inline void kg_pool2d_check_axis(kg_check *c, int32_t in, int32_t out, int32_t k, int32_t stride, int32_t pad) {
  const int32_t limit = 1 << 15;
  kg_check_range(c, in, 1, limit);
  kg_check_range(c, out, 1, limit);
  kg_check_range(c, k, 1, 1024);
  kg_check_range(c, stride, 1, 1024);
  kg_check_range(c, pad, 0, (int64_t)k - 1);
  kg_check_range(c, ((int64_t)out - 1) * stride - pad, -(int64_t)pad, (int64_t)in - 1); /* the last window sees a pixel */
}

/* Sizes are sane and every window sees at least one pixel. */
static inline void kg_pool2d_check_shape(kg_check *c, const kg_pool2d_shape *s) {
  kg_check_range(c, s->channels, 1, 1 << 16);
  kg_pool2d_check_axis(c, s->in_h, s->out_h, s->k_h, s->stride_h, s->pad_top);
  kg_pool2d_check_axis(c, s->in_w, s->out_w, s->k_w, s->stride_w, s->pad_left);
}

static inline int64_t kg_pool2d_inputs(kg_check *c, const kg_pool2d_shape *s) {
  return kg_check_mul(c, kg_check_mul(c, s->in_h, s->in_w), s->channels);
}

static inline int64_t kg_pool2d_outputs(kg_check *c, const kg_pool2d_shape *s) {
  return kg_check_mul(c, kg_check_mul(c, s->out_h, s->out_w), s->channels);
}

#endif
