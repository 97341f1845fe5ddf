#include "broadcast.h"

#include <string.h>

int64_t kg_check_broadcast(kg_check *c, const kg_broadcast *s) {
  int32_t word[12];
  memcpy(word, s, sizeof word);
  for (int32_t i = 0; i < 4; ++i) kg_check_range(c, word[i], 1, 1 << 24);
  for (int32_t i = 4; i < 12; ++i) kg_check_range(c, word[i], 0, 1 << 24);
  int64_t n = kg_check_mul(c, kg_check_mul(c, s->size_0, s->size_1), kg_check_mul(c, s->size_2, s->size_3));
  return c->ok ? n : 0;
}

/* An operand is read: as many elements as its largest position plus one. */
static void check_operand(kg_check *c, const kg_broadcast *s, kg_ref ref, int32_t d0, int32_t d1, int32_t d2, int32_t d3) {
  const int64_t last = kg_check_mul(c, s->size_0 - 1, d0) + kg_check_mul(c, s->size_1 - 1, d1) +
                       kg_check_mul(c, s->size_2 - 1, d2) + kg_check_mul(c, s->size_3 - 1, d3);
  kg_check_read(c, ref, last + 1, 1);
}

static int32_t is_whole(const kg_broadcast *s, int32_t d0, int32_t d1, int32_t d2, int32_t d3) {
  return (s->size_3 == 1 || d3 == 1) && (s->size_2 == 1 || d2 == s->size_3) &&
         (s->size_1 == 1 || (int64_t)d1 == (int64_t)s->size_2 * s->size_3) &&
         (s->size_0 == 1 || (int64_t)d0 == (int64_t)s->size_1 * s->size_2 * s->size_3);
}

int32_t kg_broadcast_a_is_whole(const kg_broadcast *s) { return is_whole(s, s->a_0, s->a_1, s->a_2, s->a_3); }

void kg_check_broadcast_b(kg_check *c, const kg_broadcast *s, kg_ref b) {
  check_operand(c, s, b, s->b_0, s->b_1, s->b_2, s->b_3);
}

void kg_check_elementwise(kg_check *c, const kg_broadcast *s, int64_t n, kg_ref a, kg_ref b, kg_ref y, kg_ref mask) {
  check_operand(c, s, a, s->a_0, s->a_1, s->a_2, s->a_3);
  kg_check_broadcast_b(c, s, b);
  /* y may share the place of an operand only where both walk memory alike */
  const int32_t whole_a = kg_broadcast_a_is_whole(s);
  const int32_t whole_b = is_whole(s, s->b_0, s->b_1, s->b_2, s->b_3);
  const int32_t allowed = (y == a || y == b) && (y != a || whole_a) && (y != b || whole_b);
  kg_check_write(c, y, n, 1, allowed ? y : KG_REF_NONE);
  kg_check_write_opt(c, mask, (n + 7) / 8, 1);
}
