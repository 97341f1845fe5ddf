#include "broadcast_grad.h"

int32_t kg_broadcast_grad_check(const kg_broadcast_grad_args *a, kg_check *c) {
  const kg_reduce_sizes n = kg_check_reduce(c, &a->shape);
  kg_check_range(c, a->sign, -1, 1);
  kg_check_error_in(c, a->gy, a->gy_exponent, n.inputs);
  kg_check_error_out(c, &a->gx, n.outputs, n.inputs == n.outputs ? a->gy : KG_REF_NONE);
  return kg_check_end(c);
}
