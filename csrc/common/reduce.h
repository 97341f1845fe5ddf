/* Reductions over any axes of a tensor of up to four axes. */
#ifndef KG_COMMON_REDUCE_H
#define KG_COMMON_REDUCE_H

#include "check.h"

/* Sizes of the input, leading ones added; over_k is 1 where axis k is reduced away. */
typedef struct kg_reduce_shape {
  int32_t d0, d1, d2, d3;
  int32_t over0, over1, over2, over3;
} kg_reduce_shape;

/* The shape as a kernel walks it: `outputs` groups of elements, one for each result. */
typedef struct kg_reduce {
  int32_t kept[4], reduced[4]; /* sizes along which results and the elements of one group lie */
  int32_t stride[4];           /* of the input */
  int32_t outputs;
} kg_reduce;

static inline kg_reduce kg_reduce_begin(const kg_reduce_shape *s) {
  const int32_t dim[4] = {s->d0, s->d1, s->d2, s->d3};
  const int32_t over[4] = {s->over0, s->over1, s->over2, s->over3};
  kg_reduce r = {{0}, {0}, {s->d1 * s->d2 * s->d3, s->d2 * s->d3, s->d3, 1}, 1};
  for (int32_t i = 0; i < 4; ++i) {
    r.kept[i] = over[i] ? 1 : dim[i];
    r.reduced[i] = over[i] ? dim[i] : 1;
    r.outputs *= r.kept[i];
  }
  return r;
}

/* Where in the input the group of result `output` begins. */
static inline int32_t kg_reduce_start(const kg_reduce *r, int32_t output) {
  int32_t at = 0;
  for (int32_t i = 3; i >= 0; --i) {
    at += output % r->kept[i] * r->stride[i];
    output /= r->kept[i];
  }
  return at;
}

/* The walk over one group: for (kg_group g = kg_group_begin(r, output); g.left > 0; kg_group_next(&g)), elements at g.at. */
typedef struct kg_group {
  const kg_reduce *r;
  int32_t at, left;
  int32_t index[4];
} kg_group;

static inline kg_group kg_group_begin(const kg_reduce *r, int32_t output) {
  kg_group g = {r, kg_reduce_start(r, output), r->reduced[0] * r->reduced[1] * r->reduced[2] * r->reduced[3], {0, 0, 0, 0}};
  return g;
}

static inline void kg_group_next(kg_group *g) {
  --g->left;
  for (int32_t i = 3; i >= 0; --i) {
    g->at += g->r->stride[i];
    if (++g->index[i] < g->r->reduced[i]) return;
    g->at -= g->index[i] * g->r->stride[i];
    g->index[i] = 0;
  }
}

/* Sum of x - zero over one group. */
static inline int32_t kg_reduce_sum(const kg_reduce *r, int32_t output, const int8_t *x, int32_t zero) {
  int32_t acc = 0;
  for (kg_group g = kg_group_begin(r, output); g.left > 0; kg_group_next(&g)) acc += x[g.at] - zero;
  return acc;
}

typedef struct kg_reduce_sizes {
  int64_t inputs, outputs;
} kg_reduce_sizes;

/* Elements of input and result; fails the check when sizes are out of range or a group is too large for a sum of bytes in an int32. */
kg_reduce_sizes kg_check_reduce(kg_check *c, const kg_reduce_shape *s);

#endif
