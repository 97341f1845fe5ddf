#include "transpose.h"

int32_t kg_transpose_check(const kg_transpose_args *a, kg_check *c) {
  const int32_t dim[4] = {a->d0, a->d1, a->d2, a->d3};
  const int32_t stride[4] = {a->s0, a->s1, a->s2, a->s3};
  int64_t count = 1, last = 0;
  for (int32_t i = 0; i < 4; ++i) {
    kg_check_range(c, dim[i], 1, 1 << 28);
    kg_check_range(c, stride[i], 0, 1 << 28);
    count = kg_check_mul(c, count, dim[i]);
    last += kg_check_mul(c, (int64_t)dim[i] - 1, stride[i]);
  }
  kg_check_range(c, last, 0, count - 1);
  kg_check_read(c, a->x, count, 1);
  kg_check_write(c, a->y, count, 1, KG_REF_NONE);
  return kg_check_end(c);
}
