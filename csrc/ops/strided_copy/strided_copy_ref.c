#include "strided_copy.h"

#include <string.h>

/* A run along the innermost axis. Distances are in bytes; copies of constant size become single moves. */
typedef struct kg_run {
  int32_t count, dx, dy, width;
} kg_run;

static void copy_table(uint8_t *y, const uint8_t *x, const kg_run *r, const uint8_t *table) {
  for (int32_t i = 0; i < r->count; ++i) y[i * r->dy] = table[(x[i * r->dx] + 128) & 255];
}

static void copy_run(uint8_t *y, const uint8_t *x, const kg_run *r) {
  if (r->dx == r->width && r->dy == r->width) {
    memcpy(y, x, (size_t)r->count * (size_t)r->width);
    return;
  }
  if (r->width == 1 && r->dx == 0 && r->dy == 1) {
    memset(y, *x, (size_t)r->count);
    return;
  }
  switch (r->width) {
  case 1:
    for (int32_t i = 0; i < r->count; ++i) y[i * r->dy] = x[i * r->dx];
    break;
  case 2:
    for (int32_t i = 0; i < r->count; ++i) memcpy(y + i * r->dy, x + i * r->dx, 2);
    break;
  case 4:
    for (int32_t i = 0; i < r->count; ++i) memcpy(y + i * r->dy, x + i * r->dx, 4);
    break;
  default:
    for (int32_t i = 0; i < r->count; ++i) memcpy(y + i * r->dy, x + i * r->dx, 8);
  }
}

void kg_strided_copy_ref_any(const kg_strided_copy_args *a, const kg_memory *mem) {
  const kg_strided_copy_shape *s = &a->shape;
  const int32_t w = a->width;
  const int32_t size[5] = {s->size_0, s->size_1, s->size_2, s->size_3, s->size_4};
  const int32_t dx[5] = {s->x_0 * w, s->x_1 * w, s->x_2 * w, s->x_3 * w, s->x_4 * w};
  const int32_t dy[5] = {s->y_0 * w, s->y_1 * w, s->y_2 * w, s->y_3 * w, s->y_4 * w};
  const kg_run run = {s->size_5, s->x_5 * w, s->y_5 * w, w};
  const uint8_t *x = (const uint8_t *)kg_in(mem, a->x) + a->x_offset * w;
  const uint8_t *table = (const uint8_t *)kg_in(mem, a->table);
  uint8_t *y = (uint8_t *)kg_out(mem, a->y) + a->y_offset * w;
  int32_t at[5] = {0, 0, 0, 0, 0};
  for (;;) {
    if (table) {
      copy_table(y, x, &run, table);
    } else {
      copy_run(y, x, &run);
    }
    int32_t axis = 4;
    while (axis >= 0 && at[axis] == size[axis] - 1) { /* back to the start of this axis */
      x -= at[axis] * dx[axis];
      y -= at[axis] * dy[axis];
      at[axis--] = 0;
    }
    if (axis < 0) return;
    ++at[axis];
    x += dx[axis];
    y += dy[axis];
  }
}
