#include "slice.h"

int32_t kg_slice_check(const kg_slice_args *a, kg_check *c) {
  kg_check_range(c, a->outer, 1, 1 << 28);
  kg_check_range(c, a->stride, 1, 1 << 28);
  kg_check_range(c, a->chunk, 1, a->stride);
  kg_check_range(c, a->offset, 0, (int64_t)a->stride - a->chunk);
  kg_check_read(c, a->x, kg_check_mul(c, a->outer, a->stride), 1);
  kg_check_write(c, a->y, kg_check_mul(c, a->outer, a->chunk), 1, KG_REF_NONE);
  return kg_check_end(c);
}
