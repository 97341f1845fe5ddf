/* LSTM over a sequence: int8 inputs and results, int16 gates and cells. Gates come in the order input, forget, cell, output; their sums have
 * 12 fraction bits, their values 15. */
#ifndef KG_OPS_LSTM_H
#define KG_OPS_LSTM_H

#include "../../common/check.h"

enum { KG_LSTM_GATES = 4, KG_LSTM_SAVED = 6 };

/* For each step: z = requantize(bias + sum (x - x_zero) w) + requantize(sum (h - y_zero) r), saturated to 16 bits after each term;
 * c = clamp(f c + i tanh(z_c)), h = y = o tanh(c). Products are rounded to nearest, as TensorFlow Lite's integer LSTM does.
 * The rows of x, y, gates and before are in the order [batch][steps], or [steps][batch] when time_major is 1. */
typedef struct kg_lstm_args {
  kg_ref x;      /* int8 [rows][in] */
  kg_ref y;      /* int8 [rows][units] */
  kg_ref w;      /* int8 [4][units][in] */
  kg_ref r;      /* int8 [4][units][units] */
  kg_ref bias;   /* int32 [4][units] */
  kg_ref hidden; /* int8 [batch][units], the last result, from call to call */
  kg_ref cell;   /* int16 [batch][units], 15 - cell_bits fraction bits, from call to call */
  kg_ref
      gates; /* int16 [rows][6][units] for the backward pass: i, f, tanh(z_c), o, c before the step, tanh(c) after it; or none */
  kg_ref before; /* int8 [rows][units] for the backward pass: h before the step; or none */
  int32_t batch, steps, in, units, time_major;
  int32_t x_multiplier[4], x_shift[4], r_multiplier[4], r_shift[4];
  int32_t y_multiplier, y_shift;
  int32_t x_zero, y_zero;
  int32_t cell_bits, cell_clip; /* integer bits of cells, 0..6; clamp to +-cell_clip, 0 for none */
} kg_lstm_args;

void kg_lstm_ref_s8(const kg_lstm_args *args, const kg_memory *mem);
int32_t kg_lstm_check(const kg_lstm_args *args, kg_check *c);

/* Error of the gates' sums z, from the last step of the sequence to the first. What reaches the states that the call found is dropped.
 * Inside, a gradient has 16 bits more than gy and saturates at 2^30. */
typedef struct kg_lstm_grad_args {
  kg_ref gy;          /* int8 error [rows][units] */
  kg_ref gy_exponent; /* kg_exponent */
  kg_ref gates;       /* int16 [rows][6][units] */
  kg_ref r;           /* int8 [4][units][units] */
  kg_ref scratch;     /* int32 [6][units] */
  kg_error_out gz;    /* int8 error [rows][4][units] */
  int32_t batch, steps, units, time_major;
  int32_t fold[4], fold_exponent; /* scale of a gate's r = fold 2^-fold_exponent */
  int32_t cell_bits;
} kg_lstm_grad_args;

void kg_lstm_grad_ref_s16(const kg_lstm_grad_args *args, const kg_memory *mem);
int32_t kg_lstm_grad_check(const kg_lstm_grad_args *args, kg_check *c);

#endif
