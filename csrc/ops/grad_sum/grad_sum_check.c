#include "grad_sum.h"

int32_t kg_grad_sum_check(const kg_grad_sum_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_read(c, a->a, a->count, 1);
  kg_check_read(c, a->a_exponent, (int64_t)sizeof(kg_exponent), 4);
  kg_check_read(c, a->b, a->count, 1);
  kg_check_read(c, a->b_exponent, (int64_t)sizeof(kg_exponent), 4);
  kg_check_error_out(c, &a->sum, a->count, a->sum.data == a->b ? a->b : a->a);
  return kg_check_end(c);
}
