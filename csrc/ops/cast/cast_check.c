#include "cast.h"

static uint32_t width(int32_t type) { return type <= KG_CAST_U8 ? 1 : type == KG_CAST_S16 ? 2 : 4; }

int32_t kg_cast_check(const kg_cast_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_range(c, a->from, KG_CAST_S8, KG_CAST_F32);
  kg_check_range(c, a->to, KG_CAST_S8, KG_CAST_F32);
  kg_check_read(c, a->x, (int64_t)width(a->from) * a->count, width(a->from));
  kg_check_write(c, a->y, (int64_t)width(a->to) * a->count, width(a->to), KG_REF_NONE);
  return kg_check_end(c);
}
