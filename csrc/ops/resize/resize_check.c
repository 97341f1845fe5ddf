#include "resize.h"

enum { LONGEST = 1 << 19 }; /* rows or columns: their places in 1/1024 fit an int32 */

typedef struct kg_resize_sizes {
  int64_t x, y;
} kg_resize_sizes;

static kg_resize_sizes check_sizes(kg_check *c, const int32_t size[6]) {
  kg_check_range(c, size[0], 1, 1 << 28);
  kg_check_range(c, size[3], 1, 1 << 28);
  for (int32_t i = 1; i < 6; ++i)
    if (i != 3) kg_check_range(c, size[i], 1, LONGEST);
  const int64_t around = kg_check_mul(c, size[0], size[3]);
  const kg_resize_sizes n = {kg_check_mul3(c, around, size[1], size[2]), kg_check_mul3(c, around, size[4], size[5])};
  return n;
}

static void check_places(kg_check *c, int32_t results, int32_t scale, int32_t offset) {
  kg_check_range(c, scale, 0, 1 << 29);
  kg_check_range(c, offset, -512, 1 << 29);
  kg_check_range(c, (int64_t)results * scale + offset, -512, (1 << 30) - 1024);
}

static kg_resize_sizes check_shape(const kg_resize_shape *s, kg_check *c) {
  const int32_t size[6] = {s->batch, s->rows, s->columns, s->channels, s->result_rows, s->result_columns};
  check_places(c, s->result_rows, s->row_scale, s->row_offset);
  check_places(c, s->result_columns, s->column_scale, s->column_offset);
  return check_sizes(c, size);
}

static int32_t check_resize(const kg_resize_bilinear_args *a, int32_t width, kg_check *c) {
  const kg_resize_sizes n = check_shape(&a->shape, c);
  kg_check_read(c, a->x, kg_check_mul(c, n.x, width), (uint32_t)width);
  kg_check_write(c, a->y, kg_check_mul(c, n.y, width), (uint32_t)width, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_resize_bilinear_s8_check(const kg_resize_bilinear_args *a, kg_check *c) { return check_resize(a, 1, c); }

int32_t kg_resize_bilinear_s16_check(const kg_resize_bilinear_args *a, kg_check *c) { return check_resize(a, 2, c); }

int32_t kg_resize_bilinear_u8_check(const kg_resize_bilinear_u8_args *a, kg_check *c) {
  const int32_t size[6] = {a->batch, a->rows, a->columns, a->channels, a->result_rows, a->result_columns};
  const kg_resize_sizes n = check_sizes(c, size);
  kg_check_range(c, a->half_pixels, 0, 1);
  kg_check_range(c, a->row_scale, 0, 0x45000000); /* 0 to 2048: places fit an int32 */
  kg_check_range(c, a->column_scale, 0, 0x45000000);
  kg_check_read(c, a->x, n.x, 1);
  kg_check_write(c, a->y, n.y, 1, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_resize_bilinear_grad_check(const kg_resize_bilinear_grad_args *a, kg_check *c) {
  const kg_resize_sizes n = check_shape(&a->shape, c);
  kg_check_range(c, a->shift, 0, 30);
  kg_check_error_in(c, a->gy, a->gy_exponent, n.y);
  kg_check_error_out(c, &a->gx, n.x, KG_REF_NONE);
  return kg_check_end(c);
}
