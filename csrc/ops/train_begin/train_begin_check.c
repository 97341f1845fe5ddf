#include <string.h>

#include "train_begin.h"

/* Steps ascend strictly: the kernel divides by their difference. */
static void check_steps(kg_check *c, const kg_train_begin_args *a) {
  if (!c->ok) return;
  const uint8_t *p = c->constant + kg_ref_offset(a->table);
  int32_t last = -1;
  for (int32_t i = 0; i < a->points; ++i) {
    int32_t step;
    memcpy(&step, p + 8 * i, 4);
    kg_check_range(c, step, (int64_t)last + 1, INT32_MAX);
    last = step;
  }
}

int32_t kg_train_begin_check(const kg_train_begin_args *a, kg_check *c) {
  kg_check_range(c, a->points, 1, KG_TRAIN_BEGIN_MAX_POINTS);
  kg_check_range(c, a->lr_exponent, -100, 30);
  kg_check_range(c, a->accumulate, 1, INT32_MAX);
  if (!c->ok) return 0;
  kg_check_write(c, a->train, (int64_t)sizeof(kg_train_state), 4, KG_REF_NONE);
  kg_check_read(c, a->table, 8 * (int64_t)a->points, 4);
  kg_check_table_s32(c, a->table, 2 * (int64_t)a->points, 0, INT32_MAX);
  check_steps(c, a);
  return kg_check_end(c);
}
