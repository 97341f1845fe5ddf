/* Biases that learn: int32 in place, or an int16 delta beside a constant. */
#ifndef KG_OPS_BIAS_H
#define KG_OPS_BIAS_H

#include "../../common/check.h"
#include "../../common/update.h"

/* b = b0 + delta * 2^u */
typedef struct kg_bias_delta_args {
  kg_ref b0;    /* int32 [channels] */
  kg_ref delta; /* int16 [channels] */
  kg_ref b;     /* int32 [channels] */
  int32_t channels;
  int32_t u; /* 0..15 */
} kg_bias_delta_args;

void kg_bias_delta_ref_s16(const kg_bias_delta_args *args, const kg_memory *mem);
int32_t kg_bias_delta_check(const kg_bias_delta_args *args, kg_check *c);

/* gb = sum over pixels of gy; the bias takes its step at once, or the pending sum does. */
typedef struct kg_bias_grad_args {
  kg_ref gy;          /* int8 error [pixels][channels] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref bias;        /* int32 or int16 [channels], updated; none under gradient accumulation */
  kg_update update;   /* steps have KG_BIAS_FRACTION bits; no fraction */
  int32_t pixels, channels;
  int32_t limit; /* the bias saturates to -limit..limit */
} kg_bias_grad_args;

void kg_bias_grad_ref_s32(const kg_bias_grad_args *args, const kg_memory *mem);
void kg_bias_grad_ref_s16(const kg_bias_grad_args *args, const kg_memory *mem);
/* The same for cores with the DSP extension: channels in fours. */
void kg_bias_grad_dsp_s32(const kg_bias_grad_args *args, const kg_memory *mem);
void kg_bias_grad_dsp_s16(const kg_bias_grad_args *args, const kg_memory *mem);
int32_t kg_bias_grad_s32_check(const kg_bias_grad_args *args, kg_check *c);
int32_t kg_bias_grad_s16_check(const kg_bias_grad_args *args, kg_check *c);
int32_t kg_bias_grad_dsp_s32_check(const kg_bias_grad_args *args, kg_check *c);
int32_t kg_bias_grad_dsp_s16_check(const kg_bias_grad_args *args, kg_check *c);

#endif
