/* Maximum pooling. Batch 1, NHWC. */
#ifndef KG_OPS_MAX_POOL2D_H
#define KG_OPS_MAX_POOL2D_H

#include "../../common/check.h"
#include "../../common/error_tensor.h"
#include "../../common/pool2d.h"

typedef struct kg_max_pool2d_args {
  kg_ref x;      /* int8 [in_h][in_w][channels] */
  kg_ref y;      /* int8 [out_h][out_w][channels] */
  kg_ref mask;   /* bits like y, 1 where the maximum lies in y_min..y_max; or none */
  kg_ref winner; /* uint8 like y: tap (ky * k_w + kx) of the first maximum; or none; needs k_h * k_w <= 255 */
  kg_pool2d_shape shape;
  int32_t y_min, y_max;
} kg_max_pool2d_args;

void kg_max_pool2d_ref_s8(const kg_max_pool2d_args *args, const kg_memory *mem);
int32_t kg_max_pool2d_check(const kg_max_pool2d_args *args, kg_check *c);

/* The same for int16 x and y; there is neither mask nor winner, because no gradient passes. */
void kg_max_pool2d_ref_s16(const kg_max_pool2d_args *args, const kg_memory *mem);
int32_t kg_max_pool2d_s16_check(const kg_max_pool2d_args *args, kg_check *c);

/* gx = sum of gy over the windows whose winner is this pixel. */
typedef struct kg_max_pool2d_grad_args {
  kg_ref gy;          /* int8 error [out_h][out_w][channels] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref winner;      /* uint8 [out_h][out_w][channels] */
  kg_error_out gx;    /* int8 error [in_h][in_w][channels] */
  kg_pool2d_shape shape;
} kg_max_pool2d_grad_args;

void kg_max_pool2d_grad_ref_s8(const kg_max_pool2d_grad_args *args, const kg_memory *mem);
int32_t kg_max_pool2d_grad_check(const kg_max_pool2d_grad_args *args, kg_check *c);

#endif
