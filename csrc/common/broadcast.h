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

/* What operators with a result of their own quantization and a fused clamp share. y may be x1 or x2 exactly where that operand is not
 * repeated. Elements are int8, or int16 with zero points 0 and without a mask. */
typedef struct kg_binary {
  kg_ref x1;   /* operand a of `shape` */
  kg_ref x2;   /* operand b of `shape` */
  kg_ref y;    /* result */
  kg_ref mask; /* bits, 1 where the value before clamping lies in y_min..y_max; or none */
  kg_broadcast shape;
  int32_t x1_zero, x2_zero, y_zero;
  int32_t y_min, y_max;
} kg_binary;

/* The walk over all elements of the result, in order: for (kg_pair p = kg_pair_begin(s); kg_pair_more(&p); kg_pair_next(&p)). */
typedef struct kg_pair {
  const kg_broadcast *shape;
  int32_t index; /* of the result's element */
  int32_t a, b;  /* of the operands' elements */
  int32_t row, rows, column;
} kg_pair;

static inline kg_pair kg_pair_begin(const kg_broadcast *s) {
  kg_pair p = {s, 0, 0, 0, 0, s->size_0 * s->size_1 * s->size_2, 0};
  return p;
}

static inline int32_t kg_pair_more(const kg_pair *p) { return p->row < p->rows; }

static inline void kg_pair_next(kg_pair *p) {
  const kg_broadcast *s = p->shape;
  ++p->index;
  if (++p->column < s->size_3) {
    p->a += s->a_3;
    p->b += s->b_3;
    return;
  }
  p->column = 0;
  ++p->row;
  const int32_t i = p->row / (s->size_1 * s->size_2), j = p->row / s->size_2 % s->size_1, k = p->row % s->size_2;
  p->a = i * s->a_0 + j * s->a_1 + k * s->a_2;
  p->b = i * s->b_0 + j * s->b_1 + k * s->b_2;
}

/* Elements of the result; fails the check when sizes or distances are out of range. */
int64_t kg_check_broadcast(kg_check *c, const kg_broadcast *s);
/* Operand a or b of `s`, of elements of `width` bytes, is read. */
void kg_check_broadcast_a(kg_check *c, const kg_broadcast *s, kg_ref a, uint32_t width);
void kg_check_broadcast_b(kg_check *c, const kg_broadcast *s, kg_ref b, uint32_t width);
/* Both operands are read and `n` results of `width` bytes are written; y may be an operand that is not repeated. */
void kg_check_elementwise(kg_check *c, const kg_broadcast *s, int64_t n, kg_ref a, kg_ref b, kg_ref y, uint32_t width);
/* All of a kg_binary with elements of `width` bytes (1 or 2). */
void kg_check_binary(kg_check *c, const kg_binary *of, uint32_t width);
/* 1 when operand a walks memory as the result does: it is not repeated, and nothing lies between its elements. */
int32_t kg_broadcast_a_is_whole(const kg_broadcast *s);

#endif
