#include "rescale.h"

/* Bytes of an integer and a number that it must be able to hold. */
static void check_integer(kg_check *c, int32_t bytes, int32_t value) {
  const int64_t half = bytes == 1 ? 128 : bytes == 2 ? 32768 : bytes == 4 ? (int64_t)1 << 31 : 0;
  kg_check_range(c, value, -half, half - 1); /* refuses everything for another width */
}

int32_t kg_rescale_check(const kg_rescale_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 28);
  check_integer(c, a->x_bytes, a->x_zero);
  check_integer(c, a->y_bytes, a->y_zero);
  check_integer(c, a->y_bytes, a->lo);
  check_integer(c, a->y_bytes, a->hi);
  kg_check_range(c, a->lo, a->lo, a->hi);
  kg_check_range(c, a->below_multiplier, -INT32_MAX, INT32_MAX);
  kg_check_range(c, a->above_multiplier, -INT32_MAX, INT32_MAX);
  kg_check_range(c, a->below_shift, -31, 30);
  kg_check_range(c, a->above_shift, -31, 30);
  if (!c->ok) return 0; /* the widths are alignments below */
  kg_check_read(c, a->x, (int64_t)a->x_bytes * a->count, (uint32_t)a->x_bytes);
  kg_check_write(c, a->y, (int64_t)a->y_bytes * a->count, (uint32_t)a->y_bytes, a->x_bytes == a->y_bytes ? a->x : KG_REF_NONE);
  return kg_check_end(c);
}
