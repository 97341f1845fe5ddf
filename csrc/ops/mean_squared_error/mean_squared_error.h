/* Mean squared error of an int8 output against an int8 target of the same quantization. */
#ifndef KG_OPS_MEAN_SQUARED_ERROR_H
#define KG_OPS_MEAN_SQUARED_ERROR_H

#include "../../common/check.h"
#include "../../common/train_state.h"

/* error = 2 scale / size * (y - target) with respect to the real output; loss = mean (scale * (y - target))^2 in Q16. */
typedef struct kg_mean_squared_error_args {
  kg_ref y;              /* int8 [size] */
  kg_ref target;         /* int8 [size] */
  kg_ref error;          /* int8 [size] */
  kg_ref exponent;       /* kg_exponent of error */
  kg_ref train;          /* kg_train_state: loss, predicted (-1), skip, skipped */
  int32_t size;          /* 1..32768 */
  int32_t fold;          /* 2 scale / size as fold * 2^-fold_exponent, 1..2^14 */
  int32_t fold_exponent; /* -60..60 */
  int32_t loss_mantissa; /* scale^2 / size * 2^16 as mantissa * 2^exponent, 0..2^31-1 */
  int32_t loss_exponent; /* -128..127 */
  int32_t threshold;     /* in steps of y, 0..256: skip = 1 when max |y - target| is below; 0 never skips */
} kg_mean_squared_error_args;

void kg_mean_squared_error_ref_s8(const kg_mean_squared_error_args *args, const kg_memory *mem);
int32_t kg_mean_squared_error_check(const kg_mean_squared_error_args *args, kg_check *c);

#endif
