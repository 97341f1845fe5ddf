#include "sgd_apply.h"

/* `width` is the size of one parameter in bytes, lowest..highest what it can hold. */
static int32_t check(const kg_sgd_apply_args *a, kg_check *c, int32_t width, int64_t lowest, int64_t highest) {
  kg_check_range(c, a->rounding, KG_ROUND_STOCHASTIC, KG_ROUND_NEAREST);
  kg_check_range(c, a->count, 0, 1 << 28);
  kg_check_range(c, a->lo, lowest, a->hi);
  kg_check_range(c, a->hi, a->lo, highest);
  if (!c->ok) return 0;
  kg_check_write(c, a->parameter, (int64_t)a->count * width, (uint32_t)width, KG_REF_NONE);
  if (width > 1) kg_check_range(c, a->fraction, KG_REF_NONE, KG_REF_NONE); /* only int8 weights have one */
  kg_check_write_opt(c, a->fraction, a->count, 1);
  kg_check_write(c, a->pending, 4 * (int64_t)a->count, 4, KG_REF_NONE);
  kg_check_read(c, a->train, (int64_t)sizeof(kg_train_state), 4);
  return kg_check_end(c);
}

int32_t kg_sgd_apply_check_s8(const kg_sgd_apply_args *a, kg_check *c) { return check(a, c, 1, -128, 127); }
int32_t kg_sgd_apply_check_s16(const kg_sgd_apply_args *a, kg_check *c) { return check(a, c, 2, INT16_MIN, INT16_MAX); }
int32_t kg_sgd_apply_check_s32(const kg_sgd_apply_args *a, kg_check *c) { return check(a, c, 4, INT32_MIN, INT32_MAX); }
