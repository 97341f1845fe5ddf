/* The end of a single-shot detector: boxes decoded from anchors, the best ones kept that do not overlap a better one too much. */
#ifndef KG_OPS_DETECTION_POSTPROCESS_H
#define KG_OPS_DETECTION_POSTPROCESS_H

#include "../../common/check.h"

/* A box is decoded only when its turn comes, so that no memory for all boxes is needed. */
typedef struct kg_detection_postprocess_args {
  kg_ref boxes;   /* int8 [count][box_width]: y, x, height, width, .. */
  kg_ref scores;  /* int8 [count][classes] */
  kg_ref anchors; /* int8 [count][4]: y, x, height, width */
  kg_ref
      decode; /* float32 [4][256], constant: what q + 128 of each coordinate means: shifts of the centre, half sizes, in anchors */
  kg_ref found_boxes;   /* float32 [most][4]: lowest y, lowest x, highest y, highest x */
  kg_ref found_classes; /* float32 [most] */
  kg_ref found_scores;  /* float32 [most] */
  kg_ref found;         /* float32 [1], how many; what lies behind is 0 */
  kg_ref best;          /* int8 [count], scratch */
  int32_t count, box_width, classes;
  int32_t first_class; /* 1 where class 0 is the background */
  int32_t most;
  int32_t lowest; /* stored score from which on a box counts, -128..128 */
  int32_t score_zero, anchor_zero;
  uint32_t score_scale, anchor_scale; /* bits of float32 */
  uint32_t overlap;                   /* bits of float32: intersection over union that is too much */
} kg_detection_postprocess_args;

void kg_detection_postprocess_ref_s8(const kg_detection_postprocess_args *args, const kg_memory *mem);
int32_t kg_detection_postprocess_check(const kg_detection_postprocess_args *args, kg_check *c);

#endif
