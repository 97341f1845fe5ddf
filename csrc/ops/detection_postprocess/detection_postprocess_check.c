#include "detection_postprocess.h"

int32_t kg_detection_postprocess_check(const kg_detection_postprocess_args *a, kg_check *c) {
  kg_check_range(c, a->count, 1, 1 << 24);
  kg_check_range(c, a->box_width, 4, 1 << 10);
  kg_check_range(c, a->classes, 1, 1 << 20);
  kg_check_range(c, a->first_class, 0, (int64_t)a->classes - 1);
  kg_check_range(c, a->most, 1, 1 << 16);
  kg_check_range(c, a->lowest, -128, 128);
  kg_check_s8(c, a->score_zero);
  kg_check_s8(c, a->anchor_zero);
  if (!c->ok) return 0;
  kg_check_read(c, a->boxes, kg_check_mul(c, a->count, a->box_width), 1);
  kg_check_read(c, a->scores, kg_check_mul(c, a->count, a->classes), 1);
  kg_check_read(c, a->anchors, 4 * (int64_t)a->count, 1);
  kg_check_read(c, a->decode, 4096, 4);
  kg_check_write(c, a->found_boxes, 16 * (int64_t)a->most, 4, KG_REF_NONE);
  kg_check_write(c, a->found_classes, 4 * (int64_t)a->most, 4, KG_REF_NONE);
  kg_check_write(c, a->found_scores, 4 * (int64_t)a->most, 4, KG_REF_NONE);
  kg_check_write(c, a->found, 4, 4, KG_REF_NONE);
  kg_check_write(c, a->best, a->count, 1, KG_REF_NONE);
  return kg_check_end(c);
}
