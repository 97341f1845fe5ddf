/* Average pooling. Batch 1, NHWC; padded pixels do not count. */
#ifndef KG_OPS_AVERAGE_POOL2D_H
#define KG_OPS_AVERAGE_POOL2D_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"
#include "../../common/pool2d.h"

typedef struct kg_average_pool2d_args {
  kg_ref x;    /* int8 [in_h][in_w][channels] */
  kg_ref y;    /* int8 [out_h][out_w][channels] */
  kg_ref mask; /* bits like y, 1 where the average lies in y_min..y_max; or none */
  kg_pool2d_shape shape;
  int32_t half_up; /* 0: halves are rounded away from zero; 1: up (as for values that were unsigned) */
  int32_t y_min, y_max;
} kg_average_pool2d_args;

void kg_average_pool2d_ref_s8(const kg_average_pool2d_args *args, const kg_memory *mem);
int32_t kg_average_pool2d_check(const kg_average_pool2d_args *args, kg_check *c);

/* The same for int16 x and y, halves rounded away from zero; there is no mask, because no gradient passes. */
void kg_average_pool2d_ref_s16(const kg_average_pool2d_args *args, const kg_memory *mem);
int32_t kg_average_pool2d_s16_check(const kg_average_pool2d_args *args, kg_check *c);

/* gx = sum over the windows that see a pixel of gy / count. The division is a multiplication by round(2^shift / count). */
typedef struct kg_average_pool2d_grad_args {
  kg_ref gy;          /* int8 error [out_h][out_w][channels] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref scratch;     /* int32 [channels] */
  kg_error_out gx;    /* int8 error [in_h][in_w][channels] */
  kg_pool2d_shape shape;
  int32_t shift; /* 1..23; (windows that overlap) * 128 * 2^shift fits an int32 */
} kg_average_pool2d_grad_args;

void kg_average_pool2d_grad_ref_s8(const kg_average_pool2d_grad_args *args, const kg_memory *mem);
int32_t kg_average_pool2d_grad_check(const kg_average_pool2d_grad_args *args, kg_check *c);

#endif
