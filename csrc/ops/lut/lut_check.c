#include "lut.h"

int32_t kg_lut_check(const kg_lut_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_read(c, a->x, a->count, 1);
  kg_check_read(c, a->table, 256, 1);
  kg_check_write(c, a->y, a->count, 1, a->x);
  if (a->mask != KG_REF_NONE) {
    kg_check_read(c, a->inside, 32, 1);
    kg_check_write(c, a->mask, ((int64_t)a->count + 7) / 8, 1, KG_REF_NONE);
  } else {
    kg_check_range(c, a->inside, KG_REF_NONE, KG_REF_NONE);
  }
  return kg_check_end(c);
}
