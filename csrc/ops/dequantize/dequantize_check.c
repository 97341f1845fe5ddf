#include "dequantize.h"

static int32_t check(const kg_dequantize_args *a, kg_check *c, uint32_t width) {
  const int32_t half = width == 1 ? 128 : 32768;
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_range(c, a->scale, 0x00800000, 0x7F7FFFFF);
  kg_check_range(c, a->zero, -half, half - 1);
  kg_check_read(c, a->x, (int64_t)width * a->count, width);
  kg_check_write(c, a->y, 4 * (int64_t)a->count, 4, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_dequantize_check(const kg_dequantize_args *a, kg_check *c) { return check(a, c, 1); }

int32_t kg_dequantize_s16_check(const kg_dequantize_args *a, kg_check *c) { return check(a, c, 2); }
