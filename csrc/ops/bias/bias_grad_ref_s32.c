#include "bias_grad.h"

void kg_bias_grad_ref_s32(const kg_bias_grad_args *a, const kg_memory *mem) {
  kg_bias_grad(a, mem, (int32_t *)kg_out(mem, a->bias), NULL);
}
