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
static void check_operand(kg_check *c, const kg_broadcast *s, kg_ref ref, const int32_t *d, uint32_t width) {
  const int64_t last = kg_check_mul(c, s->size_0 - 1, d[0]) + kg_check_mul(c, s->size_1 - 1, d[1]) +
                       kg_check_mul(c, s->size_2 - 1, d[2]) + kg_check_mul(c, s->size_3 - 1, d[3]);
  kg_check_read(c, ref, kg_check_mul(c, last + 1, width), width);
}

static int32_t is_whole(const kg_broadcast *s, const int32_t *d) {
  return (s->size_3 == 1 || d[3] == 1) && (s->size_2 == 1 || d[2] == s->size_3) &&
         (s->size_1 == 1 || (int64_t)d[1] == (int64_t)s->size_2 * s->size_3) &&
         (s->size_0 == 1 || (int64_t)d[0] == (int64_t)s->size_1 * s->size_2 * s->size_3);
}

int32_t kg_broadcast_a_is_whole(const kg_broadcast *s) {
  const int32_t d[4] = {s->a_0, s->a_1, s->a_2, s->a_3};
  return is_whole(s, d);
}

static int32_t b_is_whole(const kg_broadcast *s) {
  const int32_t d[4] = {s->b_0, s->b_1, s->b_2, s->b_3};
  return is_whole(s, d);
}

void kg_check_broadcast_a(kg_check *c, const kg_broadcast *s, kg_ref a, uint32_t width) {
  const int32_t d[4] = {s->a_0, s->a_1, s->a_2, s->a_3};
  check_operand(c, s, a, d, width);
}

void kg_check_broadcast_b(kg_check *c, const kg_broadcast *s, kg_ref b, uint32_t width) {
  const int32_t d[4] = {s->b_0, s->b_1, s->b_2, s->b_3};
  check_operand(c, s, b, d, width);
}

void kg_check_elementwise(kg_check *c, const kg_broadcast *s, int64_t n, kg_ref a, kg_ref b, kg_ref y, uint32_t width) {
  kg_check_broadcast_a(c, s, a, width);
  kg_check_broadcast_b(c, s, b, width);
  /* y may share the place of an operand only where both walk memory alike */
  const int32_t allowed = (y == a || y == b) && (y != a || kg_broadcast_a_is_whole(s)) && (y != b || b_is_whole(s));
  kg_check_write(c, y, kg_check_mul(c, n, width), width, allowed ? y : KG_REF_NONE);
}

void kg_check_binary(kg_check *c, const kg_binary *of, uint32_t width) {
  const int64_t n = kg_check_broadcast(c, &of->shape);
  if (!c->ok) return;
  const int32_t zero_min = width == 1 ? -128 : 0, zero_max = width == 1 ? 127 : 0;
  const int32_t least = width == 1 ? -128 : -32768, most = width == 1 ? 127 : 32767;
  kg_check_range(c, of->x1_zero, zero_min, zero_max);
  kg_check_range(c, of->x2_zero, zero_min, zero_max);
  kg_check_range(c, of->y_zero, zero_min, zero_max);
  kg_check_range(c, of->y_min, least, of->y_max);
  kg_check_range(c, of->y_max, of->y_min, most);
  kg_check_elementwise(c, &of->shape, n, of->x1, of->x2, of->y, width);
  if (width != 1) kg_check_range(c, of->mask, KG_REF_NONE, KG_REF_NONE);
  kg_check_write_opt(c, of->mask, (n + 7) / 8, 1);
}
