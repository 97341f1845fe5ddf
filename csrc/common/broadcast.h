/* Element-wise operators on two operands of up to four axes, either of which may be repeated along axes. */
#ifndef KG_COMMON_BROADCAST_H
#define KG_COMMON_BROADCAST_H

#include "check.h"

/* Sizes of the result, outermost first, and each operand's distance between neighbours along each axis (0: repeated), in elements. */
typedef struct kg_broadcast {
  int32_t size_0, size_1, size_2, size_3;
  int32_t a_0, a_1, a_2, a_3;
  int32_t b_0, b_1, b_2, b_3;
} kg_broadcast;

/* Rows of the result: runs along the innermost axis. */
static inline int32_t kg_broadcast_rows(const kg_broadcast *s) { return s->size_0 * s->size_1 * s->size_2; }

/* Element of an operand with distances d0, d1, d2 at which row `row` begins. */
static inline int32_t kg_broadcast_row(const kg_broadcast *s, int32_t row, int32_t d0, int32_t d1, int32_t d2) {
  return row / (s->size_1 * s->size_2) * d0 + row / s->size_2 % s->size_1 * d1 + row % s->size_2 * d2;
}

/* Elements of the result; fails the check when sizes or distances are out of range. */
int64_t kg_check_broadcast(kg_check *c, const kg_broadcast *s);
/* Operand b of `s` is read. */
void kg_check_broadcast_b(kg_check *c, const kg_broadcast *s, kg_ref b);
/* Both operands are read, `n` int8 results and their mask (which may be absent) are written; y may be an operand that is not repeated. */
void kg_check_elementwise(kg_check *c, const kg_broadcast *s, int64_t n, kg_ref a, kg_ref b, kg_ref y, kg_ref mask);
/* 1 when operand a walks memory as the result does: it is not repeated, and nothing lies between its elements. */
int32_t kg_broadcast_a_is_whole(const kg_broadcast *s);

#endif
