#include "../../common/output.h"
#include "batch_matmul_dot.h"

void kg_batch_matmul_ref_s8(const kg_batch_matmul_args *args, const kg_memory *mem) {
  const int8_t *a = (const int8_t *)kg_in(mem, args->a);
  const int8_t *b = (const int8_t *)kg_in(mem, args->b);
  const int32_t n = kg_batch_matmul_results(&args->shape);
  kg_output out = kg_output_begin(mem, args->y, args->mask, args->y_zero, -128, 127);
  for (int32_t i = 0; i < n; ++i) {
    const int32_t sum = kg_batch_matmul_dot(&args->shape, a, b, args->a_zero, args->b_zero, i);
    kg_output_put(&out, kg_requantize(sum, args->multiplier, args->shift));
  }
  kg_output_end(&out);
}
