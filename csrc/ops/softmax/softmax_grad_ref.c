#include "softmax.h"

void kg_softmax_grad_ref_s8(const kg_softmax_grad_args *a, const kg_memory *mem) {
  const int8_t *gy = (const int8_t *)kg_in(mem, a->gy);
  const int8_t *y = (const int8_t *)kg_in(mem, a->y);
  const int32_t e = kg_error_exponent(mem, a->gy_exponent);
  kg_error_writer out = kg_error_begin(mem, &a->gx, e + a->unit);
  for (int32_t r = 0; r < a->rows; ++r) {
    const int32_t first = r * a->depth;
    int32_t dot = 0; /* 256 sum p gy; at most 4095 * 255 * 127 */
    for (int32_t c = 0; c < a->depth; ++c) dot += (y[first + c] + 128) * gy[first + c];
    for (int32_t c = 0; c < a->depth; ++c) {
      int64_t v = (int64_t)(y[first + c] + 128) * (256 * gy[first + c] - dot);
      kg_error_put(&out, first + c, kg_sat_s32(v));
    }
  }
  kg_error_end(&out);
}
