#include "softmax.h"

static int32_t check_s8(const kg_softmax_args *a, kg_check *c, uint32_t width) {
  kg_check_range(c, a->rows, 1, 1 << 24);
  kg_check_range(c, a->depth, 1, KG_SOFTMAX_MAX_DEPTH);
  int64_t count = kg_check_mul(c, a->rows, a->depth);
  kg_check_read(c, a->x, count, 1);
  kg_check_table_s32(c, a->table, 256, 0, INT32_MAX);
  kg_check_write(c, a->y, width * count, width, width == 1 ? a->x : KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_softmax_check(const kg_softmax_args *a, kg_check *c) { return check_s8(a, c, 1); }

int32_t kg_softmax_s8_s16_check(const kg_softmax_args *a, kg_check *c) { return check_s8(a, c, 2); }

int32_t kg_softmax_s16_check(const kg_softmax_s16_args *a, kg_check *c) {
  kg_check_range(c, a->rows, 1, 1 << 24);
  kg_check_range(c, a->depth, 1, KG_SOFTMAX_MAX_DEPTH_S16);
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  int64_t bytes = kg_check_mul3(c, a->rows, a->depth, 2);
  kg_check_read(c, a->x, bytes, 2);
  kg_check_read(c, a->exp_table, 2 * 513, 2);
  kg_check_read(c, a->inverse_table, 2 * 513, 2);
  kg_check_write(c, a->y, bytes, 2, a->x);
  return kg_check_end(c);
}

int32_t kg_softmax_grad_check(const kg_softmax_grad_args *a, kg_check *c) {
  kg_check_range(c, a->rows, 1, 1 << 24);
  kg_check_range(c, a->depth, 1, KG_SOFTMAX_MAX_DEPTH);
  kg_check_range(c, a->unit, -48, 16);
  int64_t count = kg_check_mul(c, a->rows, a->depth);
  kg_check_error_in(c, a->gy, a->gy_exponent, count);
  kg_check_read(c, a->y, count, 1);
  kg_check_error_out(c, &a->gx, count, a->gy);
  return kg_check_end(c);
}
