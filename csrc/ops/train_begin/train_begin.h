/* Begin of a training step: counts it, and looks up the learning rate. */
#ifndef KG_OPS_TRAIN_BEGIN_H
#define KG_OPS_TRAIN_BEGIN_H

#include "../../common/check.h"

enum { KG_TRAIN_BEGIN_MAX_POINTS = 1024 };

/* The learning rate is value * 2^lr_exponent, linear between the points of `table`, constant before the first and after the last. */
typedef struct kg_train_begin_args {
  kg_ref train;        /* kg_train_state */
  kg_ref table;        /* int32 [points][2], constant: step (ascending, from 0), value (not negative) */
  int32_t points;      /* 1..KG_TRAIN_BEGIN_MAX_POINTS */
  int32_t lr_exponent; /* -100..30 */
  int32_t accumulate;  /* every so many samples the updates are applied, 1.. */
} kg_train_begin_args;

void kg_train_begin_ref_s32(const kg_train_begin_args *args, const kg_memory *mem);
int32_t kg_train_begin_check(const kg_train_begin_args *args, kg_check *c);

#endif
