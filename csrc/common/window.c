#include "window.h"

void kg_check_window(kg_check *c, int32_t in, int32_t out, int32_t k, int32_t stride, int32_t dilation, int32_t pad) {
  kg_check_range(c, in, 1, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, out, 1, KG_WINDOW_MAX_SIZE);
  kg_check_range(c, k, 1, KG_WINDOW_MAX_STEP);
  kg_check_range(c, stride, 1, KG_WINDOW_MAX_STEP);
  kg_check_range(c, dilation, 1, KG_WINDOW_MAX_STEP);
  kg_check_range(c, pad, 0, KG_WINDOW_MAX_SIZE);
}

void kg_check_fold(kg_check *c, kg_ref fold, int32_t channels, int32_t exponent, int32_t shift, int64_t terms, int32_t w_zero) {
  kg_check_range(c, exponent, -100, 100);
  kg_check_range(c, shift, 6, 20);
  if (!c->ok) return;
  kg_check_table_s32(c, fold, channels, 0, 1 << 14);
  const int64_t folded = ((128 << 14) >> shift) + 1; /* at most this large; |w - w_zero| <= 255 */
  kg_check_range(c, terms * folded * (w_zero ? 255 : 128), 0, INT32_MAX);
}
