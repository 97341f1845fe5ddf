#include "lut.h"

int32_t kg_lut_grad_check(const kg_lut_grad_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_range(c, a->unit, -64, 64);
  kg_check_error_in(c, a->gy, a->gy_exponent, a->count);
  kg_check_read(c, a->saved, a->count, 1);
  kg_check_read(c, a->table, 512, 2);
  kg_check_error_out(c, &a->gx, a->count, a->gy);
  return kg_check_end(c);
}
