/* Verification of argument structs, before the first kernel runs: every operand must lie inside its segment, be aligned, be writable
 * when it is written, and overlap no other operand of the call. Each operator has one kg_<op>_check built from these. */
#ifndef KG_COMMON_CHECK_H
#define KG_COMMON_CHECK_H

#include "error_tensor.h"
#include "memory.h"
#include "update.h"

enum { KG_CHECK_MAX_OPERANDS = 20 };

typedef struct kg_operand {
  kg_ref ref;
  uint32_t bytes;
  uint32_t written;
  kg_ref alias; /* operand with which exactly this one may share its place */
} kg_operand;

typedef struct kg_check {
  uint32_t const_bytes, state_bytes, arena_bytes; /* sizes of the segments */
  const uint8_t *constant;                        /* the constants themselves, for tables whose content matters */
  int32_t ok;                                     /* starts as 1, goes to 0 with the first finding */
  int32_t operands;
  kg_operand operand[KG_CHECK_MAX_OPERANDS];
} kg_check;

/* Ready to check one call. */
void kg_check_begin(kg_check *c);
/* `bytes` at `ref` are read; `align` is 1, 2 or 4. */
void kg_check_read(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align);
/* `bytes` at `ref` are written; they may be the operand `alias` exactly (same place), KG_REF_NONE for no alias. */
void kg_check_write(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align, kg_ref alias);
/* As kg_check_read and kg_check_write, where KG_REF_NONE means that the operand is absent. */
void kg_check_read_opt(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align);
void kg_check_write_opt(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align);
/* An error tensor of `bytes` elements is read, with its kg_exponent. */
void kg_check_error_in(kg_check *c, kg_ref data, kg_ref exponent, int64_t bytes);
/* lo <= value <= hi. */
void kg_check_range(kg_check *c, int64_t value, int64_t lo, int64_t hi);
/* A zero point, or another int8 in a word. */
void kg_check_s8(kg_check *c, int32_t value);
/* A clamp to lo..hi of int8 results. */
void kg_check_clamp(kg_check *c, int32_t lo, int32_t hi);
/* Constant factors of `channels` channels for kg_requantize: int32 multipliers and int8 shifts. */
void kg_check_requantize(kg_check *c, kg_ref multiplier, kg_ref shift, int32_t channels);
/* `count` int8 values at `ref`, which must be constants, lie in lo..hi. */
void kg_check_table_s8(kg_check *c, kg_ref ref, int64_t count, int32_t lo, int32_t hi);
/* `count` int32 values at `ref`, which must be constants, lie in lo..hi. */
void kg_check_table_s32(kg_check *c, kg_ref ref, int64_t count, int32_t lo, int32_t hi);
/* a * b for sizes; fails the check (and gives 0) on a negative factor or past 2^30. */
int64_t kg_check_mul(kg_check *c, int64_t a, int64_t b);
int64_t kg_check_mul3(kg_check *c, int64_t x, int64_t y, int64_t z);
/* An error tensor of `bytes` elements that is written, with its exponent; `alias` as in kg_check_write. */
void kg_check_error_out(kg_check *c, const kg_error_out *out, int64_t bytes, kg_ref alias);
/* What every update reads: the training state and the factors of `channels` channels. */
void kg_check_update_rates(kg_check *c, const kg_update *u, int32_t channels);
/* An update of `count` int8 weights at `weights` in `channels` channels: either the weights (and their fraction) are written, or the
 * pending sum. */
void kg_check_update(kg_check *c, const kg_update *u, kg_ref weights, int64_t count, int32_t channels);
/* Overlaps among the operands named so far; gives the verdict, 1 or 0. */
int32_t kg_check_end(kg_check *c);

#endif
