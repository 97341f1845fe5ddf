#include "fully_connected.h"

#include "../../common/dot.h"
#include "../../common/output.h"

void kg_fully_connected_ref_s8(const kg_fully_connected_args *a, const kg_memory *mem) {
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  const int8_t *w_frozen = (const int8_t *)kg_in(mem, a->w_frozen);
  const int8_t *w_live = (const int8_t *)kg_in(mem, a->w_live);
  const int32_t *bias = (const int32_t *)kg_in(mem, a->bias);
  const int32_t *multiplier = (const int32_t *)kg_in(mem, a->multiplier);
  const int8_t *shift = (const int8_t *)kg_in(mem, a->shift);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, a->y_min, a->y_max);
  const int32_t live = a->live, frozen = a->in - a->live;

  for (int32_t row = 0; row < a->rows; ++row, x += a->in) {
    for (int32_t o = 0; o < a->out; ++o) {
      int32_t acc = bias ? bias[o] : 0;
      if (live > 0) acc = kg_add_wrap(acc, kg_dot_s8(x, w_live + o * live, live, a->x_zero, a->w_zero));
      if (frozen > 0) acc = kg_add_wrap(acc, kg_dot_s8(x + live, w_frozen + o * frozen, frozen, a->x_zero, a->w_zero));
      kg_output_put(&out, kg_requantize_once(acc, multiplier[o], shift[o]));
    }
  }
  kg_output_end(&out);
}
