/* Element-wise operators on two operands of up to four axes, either of which may be repeated along axes. */
#ifndef KG_COMMON_BROADCAST_H
#define KG_COMMON_BROADCAST_H

#include "check.h"

#include <string.h>

/* Sizes of the result, outermost first, and each operand's distance between neighbours along each axis (0: repeated). */
typedef struct kg_broadcast {
  int32_t size_0, size_1, size_2, size_3;
  int32_t a_0, a_1, a_2, a_3;
  int32_t b_0, b_1, b_2, b_3;
} kg_broadcast;

/* Elements of the result; fails the check when sizes or distances are out of range. */
static inline int64_t kg_check_broadcast(kg_check *c, const kg_broadcast *s) {
  int32_t word[12];
  memcpy(word, s, sizeof word);
  for (int32_t i = 0; i < 4; ++i) kg_check_range(c, word[i], 1, 1 << 24);
  for (int32_t i = 4; i < 12; ++i) kg_check_range(c, word[i], 0, 1 << 24);
  int64_t n = kg_check_mul(c, kg_check_mul(c, s->size_0, s->size_1), kg_check_mul(c, s->size_2, s->size_3));
  return c->ok ? n : 0;
}

/* Elements that an operand with these distances spans: the largest position plus one. */
static inline int64_t kg_broadcast_span(kg_check *c, const kg_broadcast *s, int32_t d0, int32_t d1, int32_t d2, int32_t d3) {
  return kg_check_mul(c, s->size_0 - 1, d0) + kg_check_mul(c, s->size_1 - 1, d1) + kg_check_mul(c, s->size_2 - 1, d2) +
         kg_check_mul(c, s->size_3 - 1, d3) + 1;
}

/* The operand walks memory as the result does, so that both may share it. */
static inline int32_t kg_broadcast_is_whole(const kg_broadcast *s, int32_t d0, int32_t d1, int32_t d2, int32_t d3) {
  return (s->size_3 == 1 || d3 == 1) && (s->size_2 == 1 || d2 == s->size_3) &&
         (s->size_1 == 1 || (int64_t)d1 == (int64_t)s->size_2 * s->size_3) &&
         (s->size_0 == 1 || (int64_t)d0 == (int64_t)s->size_1 * s->size_2 * s->size_3);
}

#endif
