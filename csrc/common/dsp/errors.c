#include "errors.h"

#include "error_fours.h"

/* Magnitudes matter only where they are the first ones above 63.75 or above 127.5 units (kg_exponent_end): the next one to look for. */
static int32_t threshold(const kg_error_writer *w) {
  const int32_t quiet = (int32_t)((255u << w->shift) >> 2), full = (int32_t)((255u << w->shift) >> 1);
  if (w->peak <= (uint32_t)quiet) return INT32_MAX - quiet;
  return w->peak <= (uint32_t)full ? INT32_MAX - full : 0;
}

static void find_peak(kg_error_writer *w, const int32_t *acc, int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    const uint32_t magnitude = acc[i] < 0 ? 0u - (uint32_t)acc[i] : (uint32_t)acc[i];
    if (magnitude > w->peak) w->peak = magnitude;
  }
}

void kg_error_put_row(kg_error_writer *w, int32_t index, const int32_t *acc, int32_t count) {
  int32_t i = 0;
  if (w->shift >= KG_ERROR_FOURS_LEAST_SHIFT && w->shift <= KG_ERROR_FOURS_LARGEST_SHIFT && count >= 4) {
    const kg_error_fours_form form = {count / 4, (int32_t)2 << w->shift, w->shift, threshold(w)};
    i = count & ~3;
    if (kg_error_fours(acc, w->data + index, w->start + (uint32_t)index * 0x9E3779B9u, &form) && form.limit) find_peak(w, acc, i);
  }
  for (; i < count; ++i) kg_error_put(w, index + i, acc[i]);
}
