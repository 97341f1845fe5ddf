#include "pool2d.h"

static void check_axis(kg_check *c, int32_t in, int32_t out, int32_t k, int32_t stride, int32_t pad) {
  const int32_t limit = 1 << 15;
  kg_check_range(c, in, 1, limit);
  kg_check_range(c, out, 1, limit);
  kg_check_range(c, k, 1, 1024);
  kg_check_range(c, stride, 1, 1024);
  kg_check_range(c, pad, 0, (int64_t)k - 1);
  kg_check_range(c, ((int64_t)out - 1) * stride - pad, -(int64_t)pad, (int64_t)in - 1); /* the last window sees a pixel */
}

void kg_pool2d_check_shape(kg_check *c, const kg_pool2d_shape *s) {
  kg_check_range(c, s->channels, 1, 1 << 16);
  check_axis(c, s->in_h, s->out_h, s->k_h, s->stride_h, s->pad_top);
  check_axis(c, s->in_w, s->out_w, s->k_w, s->stride_w, s->pad_left);
}

int64_t kg_pool2d_inputs(kg_check *c, const kg_pool2d_shape *s) { return kg_check_mul3(c, s->in_h, s->in_w, s->channels); }

int64_t kg_pool2d_outputs(kg_check *c, const kg_pool2d_shape *s) { return kg_check_mul3(c, s->out_h, s->out_w, s->channels); }

int32_t kg_pool2d_s16_check(kg_check *c, const kg_pool2d_shape *s, kg_ref x, kg_ref y, kg_ref mask, int32_t y_min,
                            int32_t y_max) {
  kg_pool2d_check_shape(c, s);
  if (!c->ok) return 0;
  kg_check_range(c, mask, KG_REF_NONE, KG_REF_NONE);
  kg_check_range(c, y_min, INT16_MIN, y_max);
  kg_check_range(c, y_max, y_min, INT16_MAX);
  kg_check_read(c, x, kg_check_mul(c, 2, kg_pool2d_inputs(c, s)), 2);
  kg_check_write(c, y, kg_check_mul(c, 2, kg_pool2d_outputs(c, s)), 2, KG_REF_NONE);
  return kg_check_end(c);
}
