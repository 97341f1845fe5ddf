#include "maximum.h"

#include "../../common/bits.h"

void kg_maximum_ref_s8(const kg_maximum_args *a, const kg_memory *mem) {
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->x2);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  kg_bit_writer first = kg_bits_begin((uint8_t *)kg_out(mem, a->x1_wins));
  kg_bit_writer second = kg_bits_begin((uint8_t *)kg_out(mem, a->x2_wins));
  for (kg_pair p = kg_pair_begin(&a->shape); kg_pair_more(&p); kg_pair_next(&p)) {
    const int32_t x1_wins = a->minimum ? x1[p.a] <= x2[p.b] : x1[p.a] >= x2[p.b];
    y[p.index] = x1_wins ? x1[p.a] : x2[p.b];
    kg_bits_put(&first, x1_wins);
    kg_bits_put(&second, !x1_wins);
  }
  kg_bits_end(&first);
  kg_bits_end(&second);
}
