/* Padding with a constant, and cropping, of a tensor of up to four axes. */
#ifndef KG_OPS_PAD_H
#define KG_OPS_PAD_H

#include "../../common/check.h"

/* Inner sizes d, sizes with the border n, elements of border before the inner part b; leading ones added. */
typedef struct kg_pad_shape {
  int32_t d0, d1, d2, d3;
  int32_t n0, n1, n2, n3;
  int32_t b0, b1, b2, b3;
} kg_pad_shape;

typedef struct kg_pad_args {
  kg_ref x; /* int8 [d0][d1][d2][d3] */
  kg_ref y; /* int8 [n0][n1][n2][n3] */
  kg_pad_shape shape;
  int32_t value; /* of the border, an int8 */
} kg_pad_args;

void kg_pad_ref_s8(const kg_pad_args *args, const kg_memory *mem);
int32_t kg_pad_check(const kg_pad_args *args, kg_check *c);

/* The error of the inner part: a plain copy, the exponent is shared. */
typedef struct kg_pad_grad_args {
  kg_ref gy; /* int8 error [n0][n1][n2][n3] */
  kg_ref gx; /* int8 error [d0][d1][d2][d3] */
  kg_pad_shape shape;
} kg_pad_grad_args;

void kg_pad_grad_ref_s8(const kg_pad_grad_args *args, const kg_memory *mem);
int32_t kg_pad_grad_check(const kg_pad_grad_args *args, kg_check *c);

#endif
