#include "strided_copy.h"

enum { LARGEST = 1 << 27 };

/* First and last element that a walk touches. */
typedef struct kg_extent {
  int64_t first, last;
} kg_extent;

static void extend(kg_extent *e, int32_t size, int32_t stride, kg_check *c) {
  kg_check_range(c, stride, -LARGEST, LARGEST);
  if (!c->ok) return; /* six ways of at most 2^54 fit an int64 */
  const int64_t way = ((int64_t)size - 1) * stride;
  if (way < 0) {
    e->first += way;
  } else {
    e->last += way;
  }
}

int32_t kg_strided_copy_check(const kg_strided_copy_args *a, kg_check *c) {
  const kg_strided_copy_shape *s = &a->shape;
  const int32_t size[6] = {s->size_0, s->size_1, s->size_2, s->size_3, s->size_4, s->size_5};
  const int32_t dx[6] = {s->x_0, s->x_1, s->x_2, s->x_3, s->x_4, s->x_5};
  const int32_t dy[6] = {s->y_0, s->y_1, s->y_2, s->y_3, s->y_4, s->y_5};
  kg_extent x = {a->x_offset, a->x_offset}, y = {a->y_offset, a->y_offset};
  int64_t count = 1;
  for (int32_t i = 0; i < 6; ++i) {
    kg_check_range(c, size[i], 1, LARGEST);
    count = kg_check_mul(c, count, size[i]);
    extend(&x, size[i], dx[i], c);
    extend(&y, size[i], dy[i], c);
  }
  const int32_t w = a->width;
  kg_check_range(c, w == 1 || w == 2 || w == 4 || w == 8, 1, 1);
  kg_check_range(c, x.first, 0, x.last);
  kg_check_range(c, y.first, 0, y.last);
  if (a->table != KG_REF_NONE) kg_check_range(c, w, 1, 1);
  if (!c->ok) return 0;
  const uint32_t align = w > 4 ? 4u : (uint32_t)w;
  kg_check_read(c, a->x, kg_check_mul(c, x.last + 1, w), align);
  kg_check_read_opt(c, a->table, 256, 1);
  kg_check_write(c, a->y, kg_check_mul(c, y.last + 1, w), align, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_strided_sum_check(const kg_strided_sum_args *a, kg_check *c) {
  const kg_strided_sum_shape *s = &a->shape;
  const int32_t size[4] = {s->size_0, s->size_1, s->size_2, s->size_3}, dy[4] = {s->y_0, s->y_1, s->y_2, s->y_3};
  const int32_t many[4] = {s->many_0, s->many_1, s->many_2, s->many_3}, step[4] = {s->step_0, s->step_1, s->step_2, s->step_3};
  int64_t count = 1, terms = 1, last = 0;
  for (int32_t i = 0; i < 4; ++i) {
    kg_check_range(c, size[i], 1, LARGEST);
    kg_check_range(c, many[i], 1, 1 << 23);
    kg_check_range(c, dy[i], 0, LARGEST);
    kg_check_range(c, step[i], 0, LARGEST);
    if (!c->ok) return 0;
    count = kg_check_mul(c, count, size[i]);
    terms = kg_check_mul(c, terms, many[i]);
    last += ((int64_t)size[i] - 1) * dy[i] + ((int64_t)many[i] - 1) * step[i];
  }
  kg_check_range(c, terms, 1, 1 << 23); /* the sum of 2^23 errors of 128 fits an int32 */
  kg_check_mul(c, count, terms);
  kg_check_range(c, last, 0, LARGEST);
  kg_check_error_in(c, a->gy, a->gy_exponent, last + 1);
  kg_check_error_out(c, &a->gx, count, KG_REF_NONE);
  return kg_check_end(c);
}
