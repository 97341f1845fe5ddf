#include "clamp_grad.h"

int32_t kg_clamp_grad_check(const kg_clamp_grad_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_read(c, a->gy, a->count, 1);
  kg_check_read(c, a->mask, ((int64_t)a->count + 7) / 8, 1);
  kg_check_write(c, a->gx, a->count, 1, a->gy);
  return kg_check_end(c);
}
