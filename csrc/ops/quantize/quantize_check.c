#include "quantize.h"

int32_t kg_quantize_check(const kg_quantize_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_range(c, a->scale, 0x00800000, 0x7F7FFFFF);
  kg_check_s8(c, a->zero);
  kg_check_read(c, a->x, 4 * (int64_t)a->count, 4);
  kg_check_write(c, a->y, a->count, 1, KG_REF_NONE);
  kg_check_write_opt(c, a->mask, ((int64_t)a->count + 7) / 8, 1);
  return kg_check_end(c);
}

int32_t kg_quantize_s16_check(const kg_quantize_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_range(c, a->scale, 0x00800000, 0x7F7FFFFF);
  kg_check_range(c, a->zero, -32768, 32767);
  kg_check_range(c, a->mask, KG_REF_NONE, KG_REF_NONE);
  kg_check_read(c, a->x, 4 * (int64_t)a->count, 4);
  kg_check_write(c, a->y, 2 * (int64_t)a->count, 2, KG_REF_NONE);
  return kg_check_end(c);
}
