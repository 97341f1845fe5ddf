/* Slices picked by constant indices along one axis or two: gather, and resizing to the nearest pixel. */
#ifndef KG_OPS_GATHER_H
#define KG_OPS_GATHER_H

#include "../../common/check.h"

/* x is [outer][rows][columns][inner], the result [outer][result_rows][result_columns][inner]. */
typedef struct kg_gather_shape {
  int32_t outer, rows, columns, inner;
  int32_t result_rows, result_columns;
} kg_gather_shape;

/* y[o][i][j] = x[o][row[i]][column[j]]; inner counts bytes. */
typedef struct kg_gather_args {
  kg_ref x;
  kg_ref y;
  kg_ref row;    /* int32 [result_rows], constant */
  kg_ref column; /* int32 [result_columns], constant */
  kg_gather_shape shape;
} kg_gather_args;

void kg_gather_ref_any(const kg_gather_args *args, const kg_memory *mem);
int32_t kg_gather_check(const kg_gather_args *args, kg_check *c);

/* gx[o][r][c] = sum of gy[o][i][j] over the i with row[i] = r and the j with column[j] = c. The i of row r stand in
 * row_list[row_first[r]] to row_list[row_first[r + 1] - 1]; columns likewise. */
typedef struct kg_gather_grad_args {
  kg_ref gy;                        /* int8 error */
  kg_ref gy_exponent;               /* kg_exponent */
  kg_error_out gx;                  /* int8 error */
  kg_ref row_first, row_list;       /* int32 [rows + 1], [result_rows], constant */
  kg_ref column_first, column_list; /* int32 [columns + 1], [result_columns], constant */
  kg_gather_shape shape;
} kg_gather_grad_args;

void kg_gather_grad_ref_s8(const kg_gather_grad_args *args, const kg_memory *mem);
int32_t kg_gather_grad_check(const kg_gather_grad_args *args, kg_check *c);

#endif
