#include "grad_sum.h"

int32_t kg_grad_sum_check(const kg_grad_sum_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  kg_check_error_in(c, a->a, a->a_exponent, a->count);
  kg_check_error_in(c, a->b, a->b_exponent, a->count);
  kg_check_error_out(c, &a->sum, a->count, a->sum.data == a->b ? a->b : a->a);
  return kg_check_end(c);
}
