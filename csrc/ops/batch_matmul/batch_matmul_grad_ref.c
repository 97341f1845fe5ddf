#include "batch_matmul_dot.h"

void kg_batch_matmul_grad_ref_s8(const kg_batch_matmul_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *b = (const int8_t *)kg_in(mem, a->b);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  const int32_t n = kg_batch_matmul_results(&a->shape);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e - a->fold_exponent + a->fold_shift);
  for (int32_t i = 0; i < n; ++i) {
    const int64_t sum = kg_batch_matmul_dot(&a->shape, gy, b, 0, a->b_zero, i);
    kg_error_put(&out, i, (int32_t)kg_round_shr_s64(sum * a->fold, a->fold_shift));
  }
  kg_error_end(&out);
}
