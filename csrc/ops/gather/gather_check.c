#include "gather.h"

typedef struct kg_gather_sizes {
  int64_t x, y;
} kg_gather_sizes;

static kg_gather_sizes check_shape(const kg_gather_shape *s, kg_check *c) {
  const int32_t size[6] = {s->outer, s->rows, s->columns, s->inner, s->result_rows, s->result_columns};
  for (int32_t i = 0; i < 6; ++i) kg_check_range(c, size[i], 1, 1 << 28);
  const int64_t around = kg_check_mul(c, s->outer, s->inner);
  const kg_gather_sizes n = {kg_check_mul3(c, around, s->rows, s->columns),
                             kg_check_mul3(c, around, s->result_rows, s->result_columns)};
  return n;
}

static void check_indices(kg_check *c, kg_ref table, int32_t count, int32_t last) {
  kg_check_read(c, table, 4 * (int64_t)count, 4);
  kg_check_table_s32(c, table, count, 0, last);
}

int32_t kg_gather_check(const kg_gather_args *a, kg_check *c) {
  const kg_gather_shape *s = &a->shape;
  const kg_gather_sizes n = check_shape(s, c);
  if (!c->ok) return 0;
  check_indices(c, a->row, s->result_rows, s->rows - 1);
  check_indices(c, a->column, s->result_columns, s->columns - 1);
  kg_check_read(c, a->x, n.x, 1);
  kg_check_write(c, a->y, n.y, 1, KG_REF_NONE);
  return kg_check_end(c);
}

int32_t kg_gather_grad_check(const kg_gather_grad_args *a, kg_check *c) {
  const kg_gather_shape *s = &a->shape;
  const kg_gather_sizes n = check_shape(s, c);
  if (!c->ok) return 0;
  kg_check_range(c, kg_check_mul(c, s->result_rows, s->result_columns), 1, 1 << 23); /* their sum fits an int32 */
  check_indices(c, a->row_first, s->rows + 1, s->result_rows);
  check_indices(c, a->row_list, s->result_rows, s->result_rows - 1);
  check_indices(c, a->column_first, s->columns + 1, s->result_columns);
  check_indices(c, a->column_list, s->result_columns, s->result_columns - 1);
  kg_check_error_in(c, a->gy, a->gy_exponent, n.y);
  kg_check_error_out(c, &a->gx, n.x, KG_REF_NONE);
  return kg_check_end(c);
}
