#include "dequantize.h"

int32_t kg_dequantize_check(const kg_dequantize_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_range(c, a->scale, 0x00800000, 0x7F7FFFFF);
  kg_check_s8(c, a->zero);
  kg_check_read(c, a->x, a->count, 1);
  kg_check_write(c, a->y, 4 * (int64_t)a->count, 4, KG_REF_NONE);
  return kg_check_end(c);
}
