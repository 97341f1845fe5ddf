/* SVDF: a fully connected layer over time as low-rank filters. Each filter sees the input of this call through its feature weights; what it
 * gave in the last `memory` calls lies in the state and is weighted by its time weights; `rank` filters make one unit. */
#ifndef KG_OPS_SVDF_H
#define KG_OPS_SVDF_H

#include "../../common/check.h"

/* state[f] moves one place towards the past, its newest place becomes
 *   clamp(requantize(sum (x - x_zero) feature) + state_zero);
 * y = clamp(requantize(bias + sum over the filters of the unit and over time of (state - state_zero) time) + y_zero).
 * Both requantizations round twice; the second sum wraps around in 32 bits, as that of
 * TensorFlow Lite does in practice. */
typedef struct kg_svdf_args {
  kg_ref x;       /* int8 [batch][in] */
  kg_ref y;       /* int8 [batch][units] */
  kg_ref feature; /* int8 [units][rank][in] */
  kg_ref time;    /* int16 or int8 [units][rank][memory] */
  kg_ref bias;    /* int32 [units] or none */
  kg_ref state;   /* int16 or int8 [batch][units][rank][memory], the oldest first */
  kg_ref mask;    /* bits [batch][units], 1 where the value before clamping lies in y_min..y_max; or none */
  int32_t batch, in, units, rank, memory;
  int32_t state_multiplier, state_shift, y_multiplier, y_shift;
  int32_t x_zero, state_zero, y_zero;
  int32_t y_min, y_max;
} kg_svdf_args;

void kg_svdf_ref_s8_s16(const kg_svdf_args *args, const kg_memory *mem); /* time weights and state int16 */
void kg_svdf_ref_s8_s8(const kg_svdf_args *args, const kg_memory *mem);  /* int8 */
int32_t kg_svdf_s16_check(const kg_svdf_args *args, kg_check *c);
int32_t kg_svdf_s8_check(const kg_svdf_args *args, kg_check *c);

/* Error of the newest places of the state: gx[b][u][r] = gy[b][u] time[u][r][newest] s_time, 0 where the place is saturated. */
typedef struct kg_svdf_grad_newest_args {
  kg_ref gy;          /* int8 error [batch][units] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref time;        /* int16 [units][rank][memory] */
  kg_ref state;       /* int16 [batch][units][rank][memory], after the call */
  kg_error_out gx;    /* int8 error [batch][units][rank] */
  int32_t batch, units, rank, memory;
  int32_t fold, fold_exponent; /* s_time = fold 2^-fold_exponent, fold at most 2^14 */
} kg_svdf_grad_newest_args;

void kg_svdf_grad_newest_ref_s16(const kg_svdf_grad_newest_args *args, const kg_memory *mem);
int32_t kg_svdf_grad_newest_check(const kg_svdf_grad_newest_args *args, kg_check *c);

/* Gradient of the time weights, sum over the batch of gy state, and their step. */
typedef struct kg_svdf_grad_time_args {
  kg_ref gy;          /* int8 error [batch][units] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref state;       /* int16 [batch][units][rank][memory], after the call */
  kg_ref time;        /* int16 [units][rank][memory], updated; none under gradient accumulation */
  kg_update update;   /* a factor a filter; steps have KG_BIAS_FRACTION bits; no fraction */
  int32_t batch, units, rank, memory;
} kg_svdf_grad_time_args;

void kg_svdf_grad_time_ref_s16(const kg_svdf_grad_time_args *args, const kg_memory *mem);
int32_t kg_svdf_grad_time_check(const kg_svdf_grad_time_args *args, kg_check *c);

#endif
