#include "div.h"

#include "../../common/output.h"

/* Leading zeros of v, 32 of zero. */
static int32_t leading_zeros(uint32_t v) {
  int32_t zeros = 0;
  for (uint32_t bit = 0x80000000u; bit != 0 && !(v & bit); bit >>= 1) ++zeros;
  return zeros;
}

/* Bits by which v can be shifted up: |v| in 1..255. */
static int32_t sign_bits(int32_t v) { return v >= 0 ? leading_zeros((uint32_t)v) - 1 : leading_zeros(2u * (uint32_t)(-v) - 1u); }

static int32_t quotient(int32_t v1, int32_t v2, int32_t multiplier, int32_t shift) {
  if (v1 == 0) return 0;
  if (v2 == 0) return v1 > 0 ? 255 : -255;
  if (v2 < 0) {
    v1 = -v1;
    v2 = -v2;
  }
  const int32_t zeros = leading_zeros((uint32_t)v2);
  const int32_t inverse = kg_one_over_one_plus((int32_t)(((uint32_t)v2 << zeros) - 0x80000000u));
  const int32_t room = sign_bits(v1);
  const int32_t unscaled = kg_doubling_high_mul(kg_doubling_high_mul(kg_shl_s32(v1, room), inverse), multiplier);
  const int32_t right = 31 - zeros + room - shift;
  if (right > 31) return 0; /* below one half */
  return right >= 0 ? kg_rounding_shr(unscaled, right) : kg_sat_s32(kg_scale_pow2_s64(unscaled, -right));
}

void kg_div_ref_s8(const kg_div_args *a, const kg_memory *mem) {
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->of.x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->of.x2);
  kg_output out = kg_output_begin(mem, a->of.y, a->of.mask, a->of.y_zero, a->of.y_min, a->of.y_max);
  for (kg_pair p = kg_pair_begin(&a->of.shape); kg_pair_more(&p); kg_pair_next(&p)) {
    const int32_t q = quotient(x1[p.a] - a->of.x1_zero, x2[p.b] - a->of.x2_zero, a->multiplier, a->shift);
    kg_output_put(&out, kg_clamp_s32(q, -(1 << 30), 1 << 30)); /* so that the zero point wraps nothing around */
  }
  kg_output_end(&out);
}
