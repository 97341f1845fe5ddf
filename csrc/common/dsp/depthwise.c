#include "depthwise.h"

#include "simd.h"

#if KG_DSP

typedef void general(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b);
general kg_depthwise_1_1, kg_depthwise_3_1, kg_depthwise_5_1, kg_depthwise_7_1;
general kg_depthwise_1_2, kg_depthwise_3_2, kg_depthwise_5_2, kg_depthwise_7_2;

/* Direct calls, from which the firmware's stack is bounded. */
void kg_depthwise_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b, int32_t taps, int32_t step) {
  switch (10 * taps + step) {
  case 11: kg_depthwise_1_1(x, stream, y, b); break;
  case 12: kg_depthwise_1_2(x, stream, y, b); break;
  case 31: kg_depthwise_3_1(x, stream, y, b); break;
  case 32: kg_depthwise_3_2(x, stream, y, b); break;
  case 51: kg_depthwise_5_1(x, stream, y, b); break;
  case 52: kg_depthwise_5_2(x, stream, y, b); break;
  case 71: kg_depthwise_7_1(x, stream, y, b); break;
  default: kg_depthwise_7_2(x, stream, y, b); break;
  }
}

#else

static const uint32_t *below(const uint32_t *x, int32_t bytes) { return x + bytes / 4; }

void kg_depthwise_expand_s8(uint32_t *x, const kg_depthwise_source *rows, int32_t columns, int32_t plane) {
  for (int32_t strip = 0; strip < rows->strips; ++strip, x += KG_DEPTHWISE_CHANNELS * (plane / 4)) {
    const int8_t *upper = rows->upper + strip * rows->next, *lower = rows->lower + strip * rows->next;
    for (int32_t i = 0; i < columns; ++i)
      for (int32_t c = 0; c < KG_DEPTHWISE_CHANNELS; ++c)
        x[c * (plane / 4) + i] = kg_pair(upper[i * rows->upper_step + c], lower[i * rows->lower_step + c]);
  }
}

static int8_t saturate(int32_t v) { return (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v); }

/* scaling: multiplier, offset */
static int8_t rectified(int32_t sum, const uint32_t *scaling, uint32_t shift) {
  return saturate((int32_t)((uint32_t)kg_smmla(sum, (int32_t)scaling[0], 0) + scaling[1]) >> shift);
}

static int8_t with_sign(int32_t sum, const uint32_t *scaling, uint32_t shift) {
  const int32_t t = kg_smmla(sum, (int32_t)scaling[0], 64);
  return saturate((int32_t)((uint32_t)t + scaling[1] - (t < 0 ? 128u : 0u)) >> shift);
}

/* One sum from the columns of two strips; `lower` where the window starts in a lower row. */
static int32_t sum_3x3(const uint32_t *w, const uint32_t *v, const uint32_t *k, int32_t lower, int32_t sum) {
  for (int32_t j = 0; j < 3; ++j, k += 2) {
    const uint32_t first = lower ? kg_pair(0, kg_low(k[0])) : k[0], second = lower ? k[1] : kg_pair(kg_high(k[1]), 0);
    sum = kg_smlad(v[j], second, kg_smlad(w[j], first, sum));
  }
  return sum;
}

static void windows_3x3(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b, int32_t step) {
  const uint32_t *k = (const uint32_t *)stream;
  for (int32_t c = 0; c < KG_DEPTHWISE_CHANNELS; ++c, x = below(x, b->plane), k += KG_DEPTHWISE_WHOLE) {
    for (int32_t row = 0; row < b->rows; ++row) {
      const uint32_t *w = below(x, row * step / 2 * b->strip), *v = below(w, b->strip);
      for (int32_t col = 0; col < b->cols; ++col) {
        const int32_t sum = sum_3x3(w + col * step, v + col * step, k, row * step % 2, (int32_t)k[6]);
        y[c + row * b->y_row + col * b->y_col] = rectified(sum, k + 7, k[9] & 31u);
      }
    }
  }
}

void kg_depthwise3x3_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b) {
  windows_3x3(x, stream, y, b, 1);
}

void kg_depthwise3x3_step2_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b) {
  windows_3x3(x, stream, y, b, 2);
}

static int32_t sum_any(const uint32_t *x, const uint32_t *k, const kg_depthwise_block *b, int32_t taps, int32_t sum) {
  const int32_t columns = taps + 1; /* of weights */
  for (int32_t i = 0; i < b->set / 4; i += columns, x = below(x, b->strip))
    for (int32_t j = 0; j < taps; ++j) sum = kg_smlad(x[j], k[i + j], sum);
  return sum;
}

void kg_depthwise_s8(const uint32_t *x, const void *stream, int8_t *y, const kg_depthwise_block *b, int32_t taps, int32_t step) {
  const uint32_t *k = (const uint32_t *)stream;
  for (int32_t c = 0; c < KG_DEPTHWISE_CHANNELS; ++c, x = below(x, b->plane), k = below(k, b->record)) {
    const uint32_t *scaling = below(k, b->record) - 3;
    for (int32_t i = 0; i < b->record / 4 - 4; ++i) {
      b->pairs[2 * i] = (k[i] << 8) & 0xFF00FF00u;
      b->pairs[2 * i + 1] = k[i] & 0xFF00FF00u;
    }
    for (int32_t row = 0; row < b->rows; ++row) {
      const int32_t at = row * b->row_step;
      for (int32_t col = 0; col < b->cols; ++col) {
        const uint32_t *from = below(x, at / 2 * b->strip) + col * step;
        const int32_t sum = sum_any(from, below(b->pairs, at % 2 * b->set), b, taps, (int32_t)(scaling[-1] << 8));
        const uint32_t shift = scaling[2] & 31u;
        y[c + row * b->y_row + col * b->y_col] = b->rectified ? rectified(sum, scaling, shift) : with_sign(sum, scaling, shift);
      }
    }
  }
}

#endif
