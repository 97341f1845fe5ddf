#include "lut.h"

#include "../../common/bits.h"

void kg_lut_ref_s8(const kg_lut_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int8_t *table = (const int8_t *)kg_in(mem, a->table);
  const uint8_t *inside = (const uint8_t *)kg_in(mem, a->inside);
  uint8_t *bits = (uint8_t *)kg_out(mem, a->mask);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  kg_bit_writer mask = kg_bits_begin(bits);
  for (int32_t i = 0; i < a->count; ++i) {
    const int32_t v = x[i] + 128;
    if (bits) kg_bits_put(&mask, kg_bits_get(inside, v));
    y[i] = table[v];
  }
  kg_bits_end(&mask);
}
