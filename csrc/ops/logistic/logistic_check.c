#include "logistic.h"

int32_t kg_logistic_check(const kg_logistic_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_range(c, a->multiplier, 0, 32767);
  kg_check_range(c, a->shift, 0, 30);
  kg_check_range(c, a->tanh, 0, 1);
  kg_check_read(c, a->x, 2 * (int64_t)a->count, 2);
  kg_check_read(c, a->table, 512, 2);
  kg_check_write(c, a->y, 2 * (int64_t)a->count, 2, a->x);
  return kg_check_end(c);
}
