#include "detection_postprocess.h"

#include <string.h>

typedef struct kg_box {
  float y_low, x_low, y_high, x_high;
} kg_box;

static float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float lower(float a, float b) { return b < a ? b : a; }
static float higher(float a, float b) { return a < b ? b : a; }

static kg_box decoded(const int8_t *box, const int8_t *anchor, const float *decode, int32_t zero, float scale) {
  float a[4];
  for (int32_t i = 0; i < 4; ++i) a[i] = (float)(anchor[i] - zero) * scale;
  const float y = decode[box[0] + 128] * a[2] + a[0];
  const float x = decode[256 + box[1] + 128] * a[3] + a[1];
  const float half_height = decode[512 + box[2] + 128] * a[2];
  const float half_width = decode[768 + box[3] + 128] * a[3];
  const kg_box b = {y - half_height, x - half_width, y + half_height, x + half_width};
  return b;
}

static int32_t overlaps(const kg_box *a, const kg_box *b, float limit) {
  const float area_a = (a->y_high - a->y_low) * (a->x_high - a->x_low);
  const float area_b = (b->y_high - b->y_low) * (b->x_high - b->x_low);
  if (area_a <= 0.0f || area_b <= 0.0f) return 0;
  const float height = higher(lower(a->y_high, b->y_high) - higher(a->y_low, b->y_low), 0.0f);
  const float width = higher(lower(a->x_high, b->x_high) - higher(a->x_low, b->x_low), 0.0f);
  const float both = height * width;
  return both / (area_a + area_b - both) > limit;
}

/* First of the classes with the highest score. */
static int32_t best_class(const int8_t *scores, int32_t classes) {
  int32_t best = 0;
  for (int32_t i = 1; i < classes; ++i)
    if (scores[i] > scores[best]) best = i;
  return best;
}

/* 1 where a box that was found before leaves no room for this one. */
static int32_t is_covered(const kg_box *box, const float *found, int32_t count, float limit) {
  for (int32_t i = 0; i < count; ++i) {
    kg_box other;
    memcpy(&other, found + 4 * i, sizeof other);
    if (overlaps(&other, box, limit)) return 1;
  }
  return 0;
}

void kg_detection_postprocess_ref_s8(const kg_detection_postprocess_args *a, const kg_memory *mem) {
  const int8_t *boxes = (const int8_t *)kg_in(mem, a->boxes), *anchors = (const int8_t *)kg_in(mem, a->anchors);
  const int8_t *scores = (const int8_t *)kg_in(mem, a->scores) + a->first_class;
  const float *decode = (const float *)kg_in(mem, a->decode);
  float *found_boxes = (float *)kg_out(mem, a->found_boxes), *found_classes = (float *)kg_out(mem, a->found_classes);
  float *found_scores = (float *)kg_out(mem, a->found_scores), *found = (float *)kg_out(mem, a->found);
  int8_t *best = (int8_t *)kg_out(mem, a->best);
  const float score_scale = as_float(a->score_scale), anchor_scale = as_float(a->anchor_scale), limit = as_float(a->overlap);
  int32_t highest = -128, count = 0;
  memset(found_boxes, 0, 16 * (size_t)a->most);
  memset(found_classes, 0, 4 * (size_t)a->most);
  memset(found_scores, 0, 4 * (size_t)a->most);
  for (int32_t i = 0; i < a->count; ++i) {
    const int8_t *mine = scores + i * a->classes;
    best[i] = mine[best_class(mine, a->classes - a->first_class)];
    if (best[i] > highest) highest = best[i];
  }
  for (int32_t level = highest; level >= a->lowest && count < a->most; --level) {
    for (int32_t i = 0; i < a->count && count < a->most; ++i) {
      if (best[i] != level) continue;
      const kg_box box = decoded(boxes + i * a->box_width, anchors + 4 * i, decode, a->anchor_zero, anchor_scale);
      if (is_covered(&box, found_boxes, count, limit)) continue;
      memcpy(found_boxes + 4 * count, &box, sizeof box);
      found_classes[count] = (float)best_class(scores + i * a->classes, a->classes - a->first_class);
      found_scores[count++] = (float)(level - a->score_zero) * score_scale;
    }
  }
  *found = (float)count;
}
