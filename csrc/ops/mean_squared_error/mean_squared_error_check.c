#include "mean_squared_error.h"

int32_t kg_mean_squared_error_check(const kg_mean_squared_error_args *a, kg_check *c) {
  kg_check_range(c, a->size, 1, 1 << 15); /* the sum of squares, 2^15 * 255^2, times a 31-bit mantissa fits 62 bits */
  kg_check_range(c, a->fold, 1, 1 << 14);
  kg_check_range(c, a->fold_exponent, -60, 60);
  kg_check_range(c, a->loss_mantissa, 0, INT32_MAX);
  kg_check_range(c, a->loss_exponent, -128, 127);
  kg_check_range(c, a->threshold, 0, 256);
  if (!c->ok) return 0;
  kg_check_read(c, a->y, a->size, 1);
  kg_check_read(c, a->target, a->size, 1);
  kg_check_write(c, a->error, a->size, 1, KG_REF_NONE);
  kg_check_write(c, a->exponent, (int64_t)sizeof(kg_exponent), 4, KG_REF_NONE);
  kg_check_write(c, a->train, (int64_t)sizeof(kg_train_state), 4, KG_REF_NONE);
  return kg_check_end(c);
}
