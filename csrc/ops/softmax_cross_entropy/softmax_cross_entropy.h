/* Softmax and cross-entropy of int8 logits in integers: loss, predicted class, and the error p - y that starts the backward pass. */
#ifndef KG_OPS_SOFTMAX_CROSS_ENTROPY_H
#define KG_OPS_SOFTMAX_CROSS_ENTROPY_H

#include "../../common/check.h"
#include "../../common/train_state.h"

typedef struct kg_softmax_cross_entropy_args {
  kg_ref logits;     /* int8 [classes] */
  kg_ref label;      /* int32 [1]; outside 0..classes-1: loss -1, nothing is learned from this sample */
  kg_ref error;      /* int8 [classes]: p - y by the smallest right shift that fits */
  kg_ref exponent;   /* kg_exponent of error */
  kg_ref train;      /* kg_train_state: loss, predicted, skip, skipped */
  kg_ref table;      /* uint16 [256], constant: 2^-(i/256) in Q15 */
  int32_t classes;   /* 1..65536 */
  int32_t scale;     /* logit scale * log2(e) in Q16, 1..2^23 */
  int32_t threshold; /* Q15: skip = 1 when max |p - y| is below; 0 never skips */
} kg_softmax_cross_entropy_args;

void kg_softmax_cross_entropy_ref_s8(const kg_softmax_cross_entropy_args *args, const kg_memory *mem);
int32_t kg_softmax_cross_entropy_check(const kg_softmax_cross_entropy_args *args, kg_check *c);

#endif
