/* What the variants of SVDF share. */
#ifndef KG_OPS_SVDF_ROWS_H
#define KG_OPS_SVDF_ROWS_H

#include "../../common/dot.h"
#include "../../common/output.h"
#include "svdf.h"

/* What filter `f` gives for the input row `x`, clamped to lo..hi. */
static inline int32_t kg_svdf_newest(const kg_svdf_args *a, const int8_t *feature, const int8_t *x, int32_t f, int32_t lo,
                                     int32_t hi) {
  const int32_t acc = kg_dot_s8(x, feature + f * a->in, a->in, a->x_zero, 0);
  return kg_clamp_s32(kg_add_wrap(kg_requantize(acc, a->state_multiplier, a->state_shift), a->state_zero), lo, hi);
}

/* The result of a unit from the sum over its filters. */
static inline void kg_svdf_put(const kg_svdf_args *a, kg_output *out, uint32_t acc) {
  kg_output_put(out, kg_requantize((int32_t)acc, a->y_multiplier, a->y_shift));
}

#endif
