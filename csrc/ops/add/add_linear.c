#include "../../common/dsp/bytes.h"
#include "../../common/dsp/linear2.h"
#include "../../common/output.h"
#include "add.h"

/* A row of the walk and the function for it: an operand that stays in place goes into the offset. */
typedef struct row {
  const int8_t *x1, *x2;
  kg_linear2 f;
} row;

static row begin(const kg_add_linear_args *a, const int8_t *x1, const int8_t *x2) {
  row r = {x1, x2, {a->x1_factor, a->x2_factor, a->offset, a->fraction}};
  if (!a->of.shape.a_3) {
    r.f.offset += r.f.factor1 * *x1;
    r.f.factor1 = 0;
    r.x1 = x2;
  }
  if (!a->of.shape.b_3) {
    r.f.offset += r.f.factor2 * *x2;
    r.f.factor2 = 0;
    r.x2 = r.x1;
  }
  return r;
}

static void whole(const row *r, int8_t *y, int32_t count) {
  const int32_t eights = count & ~7;
  if (eights > 0) kg_linear2_s8(r->x1, r->x2, y, eights, &r->f);
  for (int32_t i = eights; i < count; ++i) y[i] = (int8_t)kg_clamp_s32(kg_linear2_value(&r->f, r->x1[i], r->x2[i]), -128, 127);
}

void kg_add_linear_s8(const kg_add_linear_args *a, const kg_memory *mem) {
  const kg_broadcast *s = &a->of.shape;
  const int8_t *x1 = (const int8_t *)kg_in(mem, a->of.x1);
  const int8_t *x2 = (const int8_t *)kg_in(mem, a->of.x2);
  int8_t *y = (int8_t *)kg_out(mem, a->of.y);
  const int32_t clamps = a->of.y_min > -128 || a->of.y_max < 127;
  kg_output out = kg_output_begin(mem, a->of.y, a->of.mask, 0, a->of.y_min, a->of.y_max);
  for (kg_rows at = kg_rows_begin(s); at.left > 0; kg_rows_next(&at)) {
    const row r = begin(a, x1 + at.a, x2 + at.b);
    if (a->of.mask != KG_REF_NONE) {
      for (int32_t i = 0; i < s->size_3; ++i) kg_output_put(&out, kg_linear2_value(&r.f, r.x1[i], r.x2[i]));
      continue;
    }
    whole(&r, y + at.y, s->size_3);
    if (clamps) kg_clamp_s8(y + at.y, s->size_3, a->of.y_min, a->of.y_max);
  }
  kg_output_end(&out);
}
