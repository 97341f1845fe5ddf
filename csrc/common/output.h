/* Results of forward kernels: zero point added, clamped, and the clamp mask beside them. */
#ifndef KG_COMMON_OUTPUT_H
#define KG_COMMON_OUTPUT_H

#include "bits.h"
#include "fixed_point.h"
#include "memory.h"

/* Writes int8 results one after another, and their mask bits: 1 where the value before clamping lies in lo..hi. */
typedef struct kg_output {
  int8_t *y;
  kg_bit_writer mask;
  int32_t zero, lo, hi;
} kg_output;

static inline kg_output kg_output_begin(const kg_memory *mem, kg_ref y, kg_ref mask, int32_t zero, int32_t lo, int32_t hi) {
  kg_output out = {(int8_t *)kg_out(mem, y), kg_bits_begin((uint8_t *)kg_out(mem, mask)), zero, lo, hi};
  return out;
}

static inline void kg_output_put(kg_output *out, int32_t value) {
  const int32_t v = kg_add_wrap(value, out->zero);
  const int32_t q = kg_clamp_s32(v, out->lo, out->hi);
  kg_bits_put(&out->mask, q == v);
  *out->y++ = (int8_t)q;
}

static inline void kg_output_end(kg_output *out) { kg_bits_end(&out->mask); }

#endif
