/* Windows over planes: depthwise layers that learn, forward and backward, four channels at a time.
 *
 * A plane holds four channels of an image as int16, 8 bytes a pixel: the pairs (0, 2) and (1, 3). Weights of four channels are stored
 * alike, 8 bytes a tap. Only taps that lie on the image are visited: along each axis a span says where a window starts in the plane and in the
 * weights, and how many taps it has. */
#ifndef KG_COMMON_DSP_PLANES_H
#define KG_COMMON_DSP_PLANES_H

#include <stdint.h>

enum { KG_PLANES_TAP = 8, KG_PLANES_TAPS = 7 /* taps along a row, at most */ };

typedef struct kg_taps {
  int32_t x, w; /* bytes into the plane and into the weights */
  int32_t taps; /* 0..KG_PLANES_TAPS */
} kg_taps;

typedef struct kg_planes {
  int32_t rows;       /* of taps */
  int32_t columns;    /* windows */
  int32_t plane_row;  /* bytes from a row of the plane to the next */
  int32_t weight_row; /* bytes from a row of taps to the next */
  int32_t sums_step;  /* bytes from a window's sums to the next one's */
} kg_planes;

/* sums[0..3] = start[0..3] + products of a window of the plane with the weights, for each of `columns` windows that begin in the same row:
 * `plane` and `weights` point to the first row of taps. */
void kg_planes_row(const uint8_t *plane, const uint8_t *weights, int32_t *sums, const kg_taps *spans, const int32_t *start,
                   const kg_planes *p);

#endif
