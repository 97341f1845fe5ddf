#include "lut.h"

void kg_lut_grad_ref_s8(const kg_lut_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *saved = (const int8_t *)kg_in(mem, a->saved);
  const int16_t *table = (const int16_t *)kg_in(mem, a->table);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e + a->unit);
  for (int32_t i = 0; i < a->count; ++i) kg_error_put(&out, i, gy[i] * table[saved[i] + 128]);
  kg_error_end(&out);
}
