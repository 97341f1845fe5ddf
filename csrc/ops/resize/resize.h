/* Resizing by bilinear interpolation, in integers of 10 fraction bits (int8, int16) or in float32 (uint8 models, shifted to int8). */
#ifndef KG_OPS_RESIZE_H
#define KG_OPS_RESIZE_H

#include "../../common/check.h"

/* [batch][rows][columns][channels] to [batch][result_rows][result_columns][channels]; result row i lies at i * row_scale + row_offset in
 * 1/1024 of a row. */
typedef struct kg_resize_shape {
  int32_t batch, rows, columns, channels;
  int32_t result_rows, result_columns;
  int32_t row_scale, row_offset;
  int32_t column_scale, column_offset;
} kg_resize_shape;

typedef struct kg_resize_bilinear_args {
  kg_ref x; /* int8 or int16 */
  kg_ref y;
  kg_resize_shape shape;
} kg_resize_bilinear_args;

void kg_resize_bilinear_ref_s8(const kg_resize_bilinear_args *args, const kg_memory *mem);
void kg_resize_bilinear_ref_s16(const kg_resize_bilinear_args *args, const kg_memory *mem);
int32_t kg_resize_bilinear_s8_check(const kg_resize_bilinear_args *args, kg_check *c);
int32_t kg_resize_bilinear_s16_check(const kg_resize_bilinear_args *args, kg_check *c);

/* Result row i lies at (i + half) * row_scale - half, in float32; half is 0 or 1/2. Values are uint8, stored less 128. */
typedef struct kg_resize_bilinear_u8_args {
  kg_ref x; /* int8 */
  kg_ref y; /* int8 */
  int32_t batch, rows, columns, channels;
  int32_t result_rows, result_columns;
  uint32_t row_scale, column_scale; /* bits of float32 */
  int32_t half_pixels;              /* 0 or 1 */
} kg_resize_bilinear_u8_args;

void kg_resize_bilinear_ref_u8(const kg_resize_bilinear_u8_args *args, const kg_memory *mem);
int32_t kg_resize_bilinear_u8_check(const kg_resize_bilinear_u8_args *args, kg_check *c);

/* gx = sum of weight * gy over the results that x was part of; the sum of products with 20 fraction bits is shifted by `shift`. */
typedef struct kg_resize_bilinear_grad_args {
  kg_ref gy;          /* int8 error [batch][result_rows][result_columns][channels] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_error_out gx;    /* int8 error [batch][rows][columns][channels] */
  kg_resize_shape shape;
  int32_t shift; /* 0..30 */
} kg_resize_bilinear_grad_args;

void kg_resize_bilinear_grad_ref_s8(const kg_resize_bilinear_grad_args *args, const kg_memory *mem);
int32_t kg_resize_bilinear_grad_check(const kg_resize_bilinear_grad_args *args, kg_check *c);

/* Two neighbours and the weight of the upper one in 1/1024. */
typedef struct kg_resize_point {
  int32_t lower, upper, weight;
} kg_resize_point;

static inline kg_resize_point kg_resize_at(int32_t index, int32_t scale, int32_t offset, int32_t size) {
  const int32_t at = index * scale + offset;
  kg_resize_point p = {at < 0 ? 0 : at >> 10, at + 1023 < 0 ? 0 : (at + 1023) >> 10, 0};
  if (p.lower > size - 1) p.lower = size - 1;
  if (p.upper > size - 1) p.upper = size - 1;
  if (p.lower != p.upper) p.weight = at - (p.lower << 10);
  return p;
}

/* Where the four neighbours of a result begin, in elements, and their weights in 2^-20. */
typedef struct kg_resize_corners {
  int32_t place[4];
  int32_t weight[4];
} kg_resize_corners;

static inline kg_resize_corners kg_resize_around(const kg_resize_shape *s, int32_t batch, kg_resize_point r, kg_resize_point c) {
  const int32_t upper = (batch * s->rows + r.lower) * s->columns, lower = (batch * s->rows + r.upper) * s->columns;
  const kg_resize_corners k = {
      {(upper + c.lower) * s->channels, (lower + c.lower) * s->channels, (upper + c.upper) * s->channels,
       (lower + c.upper) * s->channels},
      {(1024 - r.weight) * (1024 - c.weight), r.weight * (1024 - c.weight), (1024 - r.weight) * c.weight, r.weight * c.weight}};
  return k;
}

/* v * 2^-20, rounded to nearest, halves away from zero. */
static inline int32_t kg_resize_round(int64_t v) { return (int32_t)((v + (v > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20)); }

#endif
