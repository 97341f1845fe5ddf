#include "log_softmax.h"

static int64_t elements(kg_check *c, int32_t rows, int32_t depth, int32_t most) {
  kg_check_range(c, rows, 1, 1 << 24);
  kg_check_range(c, depth, 1, most);
  return kg_check_mul(c, rows, depth);
}

int32_t kg_log_softmax_check(const kg_log_softmax_args *a, kg_check *c) {
  int64_t count = elements(c, a->rows, a->depth, KG_LOG_SOFTMAX_MAX_DEPTH);
  kg_check_range(c, a->multiplier, 0, INT32_MAX);
  kg_check_range(c, a->reverse_multiplier, 0, INT32_MAX);
  kg_check_range(c, a->shift, -31, 30);
  kg_check_range(c, a->reverse_shift, -31, 30);
  kg_check_range(c, a->least, -255, 0);
  kg_check_read(c, a->x, count, 1);
  kg_check_table_s32(c, a->table, 256, 0, INT32_MAX);
  kg_check_write(c, a->y, count, 1, a->x);
  return kg_check_end(c);
}

int32_t kg_log_softmax_f32_check(const kg_log_softmax_f32_args *a, kg_check *c) {
  int64_t bytes = kg_check_mul(c, elements(c, a->rows, a->depth, KG_LOG_SOFTMAX_MAX_DEPTH_F32), 4);
  kg_check_read(c, a->x, bytes, 4);
  kg_check_write(c, a->y, bytes, 4, a->x);
  return kg_check_end(c);
}

int32_t kg_log_softmax_grad_check(const kg_log_softmax_grad_args *a, kg_check *c) {
  int64_t count = elements(c, a->rows, a->depth, KG_LOG_SOFTMAX_MAX_DEPTH);
  kg_check_error_in(c, a->gy, a->gy_exponent, count);
  kg_check_read(c, a->y, count, 1);
  kg_check_read(c, a->table, 512, 2);
  kg_check_error_out(c, &a->gx, count, a->gy);
  return kg_check_end(c);
}
