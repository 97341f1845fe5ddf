#include "mean.h"

#include "../../common/output.h"

/* Sum over the averaged axes, from the element at x on. */
static int32_t sum(const int8_t *x, const int32_t *size, const int32_t *stride, int32_t zero) {
  int32_t acc = 0;
  for (int32_t i = 0; i < size[0]; ++i)
    for (int32_t j = 0; j < size[1]; ++j)
      for (int32_t k = 0; k < size[2]; ++k)
        for (int32_t l = 0; l < size[3]; ++l) acc += x[i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3]] - zero;
  return acc;
}

void kg_mean_ref_s8(const kg_mean_args *a, const kg_memory *mem) {
  const kg_mean_shape *s = &a->shape;
  const int32_t dim[4] = {s->d0, s->d1, s->d2, s->d3};
  const int32_t over[4] = {s->over0, s->over1, s->over2, s->over3};
  const int32_t stride[4] = {s->d1 * s->d2 * s->d3, s->d2 * s->d3, s->d3, 1};
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  kg_output out = kg_output_begin(mem, a->y, a->mask, a->y_zero, -128, 127);
  int32_t kept[4], averaged[4];
  for (int32_t i = 0; i < 4; ++i) {
    kept[i] = over[i] ? 1 : dim[i];
    averaged[i] = over[i] ? dim[i] : 1;
  }
  const int32_t outputs = kept[0] * kept[1] * kept[2] * kept[3];
  for (int32_t o = 0; o < outputs; ++o) {
    int32_t rest = o, at = 0;
    for (int32_t i = 3; i >= 0; --i) {
      at += rest % kept[i] * stride[i];
      rest /= kept[i];
    }
    kg_output_put(&out, kg_requantize(sum(x + at, averaged, stride, a->x_zero), a->multiplier, a->shift));
  }
  kg_output_end(&out);
}
