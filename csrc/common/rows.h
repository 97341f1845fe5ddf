/* Element-wise operators on two operands, row by row: runs along the innermost axis, in which an operand is walked or stays in place. */
#ifndef KG_COMMON_ROWS_H
#define KG_COMMON_ROWS_H

#include "broadcast.h"

/* The walk over all rows of the result, in order: for (kg_rows r = kg_rows_begin(s); r.left > 0; kg_rows_next(&r)). */
typedef struct kg_rows {
  const kg_broadcast *shape;
  int32_t left;    /* rows */
  int32_t a, b, y; /* where the row begins in the operands and in the result */
  int32_t i, j, k; /* indices along axes 0, 1, 2 */
} kg_rows;

static inline kg_rows kg_rows_begin(const kg_broadcast *s) {
  kg_rows r = {s, s->size_0 * s->size_1 * s->size_2, 0, 0, 0, 0, 0, 0};
  return r;
}

static inline void kg_rows_next(kg_rows *r) {
  const kg_broadcast *s = r->shape;
  --r->left;
  r->y += s->size_3;
  if (++r->k == s->size_2) {
    r->k = 0;
    if (++r->j == s->size_1) {
      r->j = 0;
      ++r->i;
    }
  }
  r->a = r->i * s->a_0 + r->j * s->a_1 + r->k * s->a_2;
  r->b = r->i * s->b_0 + r->j * s->b_1 + r->k * s->b_2;
}

/* Within a row both operands lie side by side or stay, and not both stay (but in rows of one element). */
static inline void kg_check_rows(kg_check *c, const kg_broadcast *s) {
  kg_check_range(c, s->a_3, 0, 1);
  kg_check_range(c, s->b_3, 0, 1);
  if (s->size_3 > 1) kg_check_range(c, s->a_3 + s->b_3, 1, 2);
}

#endif
