#include "resize.h"

#include <string.h>

/* Two neighbours and the distance from the lower one. */
typedef struct kg_resize_near {
  int32_t lower, upper;
  float distance;
} kg_resize_near;

static kg_resize_near near(int32_t index, float scale, int32_t half_pixels, int32_t size) {
  const float at = half_pixels ? ((float)index + 0.5f) * scale - 0.5f : (float)index * scale;
  const int32_t floor = at < 0.0f ? (int32_t)at - ((float)(int32_t)at != at) : (int32_t)at;
  const int32_t ceil = floor + ((float)floor != at);
  kg_resize_near p = {floor < 0 ? 0 : floor, ceil < 0 ? 0 : ceil, 0.0f};
  if (p.lower > size - 1) p.lower = size - 1;
  if (p.upper > size - 1) p.upper = size - 1;
  p.distance = at - (float)p.lower;
  return p;
}

static float scale_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static int8_t mix(const int8_t *const corner[4], int32_t c, float dr, float dc) {
  const float sum = (float)(corner[0][c] + 128) * (1 - dr) * (1 - dc) + (float)(corner[1][c] + 128) * dr * (1 - dc) +
                    (float)(corner[2][c] + 128) * (1 - dr) * dc + (float)(corner[3][c] + 128) * dr * dc + 0.5f;
  return (int8_t)((sum < 0.0f ? 0 : sum > 255.0f ? 255 : (int32_t)sum) - 128);
}

void kg_resize_bilinear_ref_u8(const kg_resize_bilinear_u8_args *a, const kg_memory *mem) {
  const float row_scale = scale_of(a->row_scale), column_scale = scale_of(a->column_scale);
  const int8_t *x = (const int8_t *)kg_in(mem, a->x);
  int8_t *y = (int8_t *)kg_out(mem, a->y);
  for (int32_t b = 0; b < a->batch; ++b, x += a->rows * a->columns * a->channels) {
    for (int32_t i = 0; i < a->result_rows; ++i) {
      const kg_resize_near r = near(i, row_scale, a->half_pixels, a->rows);
      for (int32_t j = 0; j < a->result_columns; ++j) {
        const kg_resize_near q = near(j, column_scale, a->half_pixels, a->columns);
        const int8_t *const corner[4] = {
            x + (r.lower * a->columns + q.lower) * a->channels, x + (r.upper * a->columns + q.lower) * a->channels,
            x + (r.lower * a->columns + q.upper) * a->channels, x + (r.upper * a->columns + q.upper) * a->channels};
        for (int32_t c = 0; c < a->channels; ++c) *y++ = mix(corner, c, r.distance, q.distance);
      }
    }
  }
}
