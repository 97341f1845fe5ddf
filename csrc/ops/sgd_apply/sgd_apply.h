/* Gradient accumulation: take the pending steps of one parameter at once and clear them. */
#ifndef KG_OPS_SGD_APPLY_H
#define KG_OPS_SGD_APPLY_H

#include "../../common/check.h"
#include "../../common/update.h"

typedef struct kg_sgd_apply_args {
  kg_ref parameter; /* int8 weights, int32 biases or int16 bias deltas [count] */
  kg_ref fraction;  /* int8 [count], for int8 weights of storage w8f8, else none */
  kg_ref pending;   /* int32 [count]: 16 fraction bits for weights, 8 for biases; 0 afterwards */
  kg_ref train;     /* kg_train_state */
  uint32_t tensor;  /* key of the random stream: CRC-32 of the parameter's name */
  int32_t rounding; /* KG_ROUND_* */
  int32_t count;
  int32_t lo, hi; /* range of the parameter */
} kg_sgd_apply_args;

void kg_sgd_apply_ref_s8(const kg_sgd_apply_args *args, const kg_memory *mem);
void kg_sgd_apply_ref_s16(const kg_sgd_apply_args *args, const kg_memory *mem);
void kg_sgd_apply_ref_s32(const kg_sgd_apply_args *args, const kg_memory *mem);
int32_t kg_sgd_apply_check_s8(const kg_sgd_apply_args *args, kg_check *c);
int32_t kg_sgd_apply_check_s16(const kg_sgd_apply_args *args, kg_check *c);
int32_t kg_sgd_apply_check_s32(const kg_sgd_apply_args *args, kg_check *c);

#endif
