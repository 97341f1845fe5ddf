#include "pad.h"

typedef struct kg_pad_sizes {
  int64_t inner, whole;
} kg_pad_sizes;

static kg_pad_sizes check_shape(const kg_pad_shape *s, kg_check *c) {
  const int32_t d[4] = {s->d0, s->d1, s->d2, s->d3};
  const int32_t n[4] = {s->n0, s->n1, s->n2, s->n3};
  const int32_t b[4] = {s->b0, s->b1, s->b2, s->b3};
  kg_pad_sizes size = {1, 1};
  for (int32_t i = 0; i < 4; ++i) {
    kg_check_range(c, d[i], 1, 1 << 24);
    kg_check_range(c, n[i], d[i], 1 << 24);
    kg_check_range(c, b[i], 0, (int64_t)n[i] - d[i]);
    size.inner = kg_check_mul(c, size.inner, d[i]);
    size.whole = kg_check_mul(c, size.whole, n[i]);
  }
  return size;
}

int32_t kg_pad_check(const kg_pad_args *a, kg_check *c) {
  const kg_pad_sizes size = check_shape(&a->shape, c);
  kg_check_s8(c, a->value);
  kg_check_read(c, a->x, size.inner, 1);
  kg_check_write(c, a->y, size.whole, 1, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_pad_grad_check(const kg_pad_grad_args *a, kg_check *c) {
  const kg_pad_sizes size = check_shape(&a->shape, c);
  kg_check_read(c, a->gy, size.whole, 1);
  kg_check_write(c, a->gx, size.inner, 1, KG_REF_NONE);
  return kg_check_end(c);
}
