/* Element-wise sum, difference and squared difference of two tensors, with a fused clamp: both operands are brought to one scale, combined,
 * and brought to the scale of the result. The error of a sum is the error of both operands: only the squared difference has a backward
 * kernel (in its own folder). */
#ifndef KG_OPS_ADD_H
#define KG_OPS_ADD_H

#include "../../common/rows.h"

/* combine of kg_add_args */
enum { KG_ADD_SUM = 0, KG_ADD_DIFFERENCE = 1, KG_ADD_SQUARED_DIFFERENCE = 2 };

/* y = clamp(requantize(combine(requantize((x1 - x1_zero) << left_shift), requantize((x2 - x2_zero) << left_shift))) + y_zero), as LiteRT's
 * reference kernels. */
typedef struct kg_add_args {
  kg_binary of;
  int32_t combine;
  int32_t left_shift;              /* 0..20 */
  int32_t x1_multiplier, x1_shift; /* shifts -31..0 */
  int32_t x2_multiplier, x2_shift;
  int32_t y_multiplier, y_shift; /* shift -31..30 */
} kg_add_args;

void kg_add_ref_s8(const kg_add_args *args, const kg_memory *mem);
void kg_add_ref_s16(const kg_add_args *args, const kg_memory *mem);
int32_t kg_add_s8_check(const kg_add_args *args, kg_check *c);
int32_t kg_add_s16_check(const kg_add_args *args, kg_check *c);

/* y = clamp((x1 x1_factor + x2 x2_factor + offset) / 2^fraction), rounded down, zero points folded in: where the compiler found factors
 * with which all 65,536 pairs of operands give what kg_add_args gives. The zero points of `of` are 0. */
typedef struct kg_add_linear_args {
  kg_binary of;
  int32_t x1_factor, x2_factor, offset; /* |factor| < 2^23; 128 (|x1_factor| + |x2_factor|) + |offset| < 2^31 */
  int32_t fraction;                     /* 22 or 20 */
} kg_add_linear_args;

void kg_add_linear_s8(const kg_add_linear_args *args, const kg_memory *mem);
int32_t kg_add_linear_check(const kg_add_linear_args *args, kg_check *c);

/* y = clamp(requantize(tables[x1 + 128] + tables[256 + x2 + 128]) + y_zero): the same for all other scales. x1_zero and x2_zero of `of` are
 * 0. */
typedef struct kg_add_tables_args {
  kg_binary of;
  kg_ref tables;             /* int32 [2][256], constant */
  int32_t multiplier, shift; /* shift -31..30 */
} kg_add_tables_args;

void kg_add_tables_s8(const kg_add_tables_args *args, const kg_memory *mem);
int32_t kg_add_tables_check(const kg_add_tables_args *args, kg_check *c);

#endif
