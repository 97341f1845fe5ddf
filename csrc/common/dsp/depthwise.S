/* The kernels of depthwise.h for cores with the DSP extension. Results of 3x3 windows come in tiles of two rows by two columns (one by four
 * where windows lie two apart) with all weights in registers: 49 instructions for 36 products. Other windows go row by row, four columns at
 * a time, with the weights of one strip in registers. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
/* sections of their own, so that a plan links what it calls */
  .section .text.kg_depthwise_expand_s8, "ax", %progbits

  .equ SHIFT, 10 /* KG_DEPTHWISE_SHIFT */

/* r0 where to, r1 the rows, r2 columns, r3 bytes between planes: two columns a turn. r0-r3 become the four planes, r4 the upper row,
 * r5 the lower one, or its distance where `both` rows go on by the same step; r6, r7 the steps. */
  .equ E_END, 0 /* where the pairs of columns end in the first plane */
  .equ E_ODD, 4
  .equ E_NEXT, 8 /* bytes from the end of a row to the start of the one below the next */
  .equ E_SKIP, 12 /* bytes from the end of the pairs of columns to the next strip */
  .equ E_STRIPS, 16
  .equ E_STRIP, 20
  .equ E_FRAME, 28

  .macro PACK both, upper, lower, low, high
  ldr \upper, [r4]
  .if \both
  ldr \lower, [r4, r5]
  add r4, r6
  .else
  ldr \lower, [r5]
  add r4, r6
  add r5, r7
  .endif
  pkhbt \low, \upper, \lower, lsl #16
  pkhtb \high, \lower, \upper, asr #16
  .endm

  .macro STRIP_OF both
  ldrd r8, r9, [sp, #E_END] /* and ODD */
  cmp r0, r8
  beq 12f
11:
  PACK \both, r10, r11, r8, r10
  PACK \both, r11, r12, lr, r12
  sxtb16 r9, r8, ror #8
  sxtb16 r11, lr, ror #8
  sxtb16 r8, r8
  sxtb16 lr, lr
  strd r9, r11, [r1], #8
  strd r8, lr, [r0], #8
  sxtb16 r9, r10, ror #8
  sxtb16 r11, r12, ror #8
  sxtb16 r10, r10
  sxtb16 r12, r12
  strd r9, r11, [r3], #8
  ldrd r8, r9, [sp, #E_END]
  strd r10, r12, [r2], #8
  cmp r0, r8
  bne 11b
12:
  cmp r9, #0
  beq 13f
  PACK \both, r10, r11, r8, r10
  sxtb16 r9, r8
  sxtb16 r8, r8, ror #8
  str r9, [r0]
  str r8, [r1]
  sxtb16 r9, r10
  sxtb16 r10, r10, ror #8
  str r9, [r2]
  str r10, [r3]
13:
  .endm

  .balign 4
  .global kg_depthwise_expand_s8
  .type kg_depthwise_expand_s8, %function
kg_depthwise_expand_s8:
  push {r4-r11, lr}
  sub sp, #E_FRAME
  ldm r1, {r4-r9} /* upper, lower, upper_step, lower_step, next, strips */
  and r10, r2, #1
  mls r8, r2, r6, r8
  sub r2, r10
  lsl r12, r3, #2
  add r11, r0, r2, lsl #2
  strd r11, r10, [sp, #E_END]
  sub r11, r12, r2, lsl #2
  strd r8, r11, [sp, #E_NEXT]
  strd r9, r12, [sp, #E_STRIPS]
  add r1, r0, r3
  add r2, r1, r3
  add r3, r2
  cmp r6, r7
  bne 3f
  sub r5, r4
1:
  STRIP_OF 1
  ldrd r8, r9, [sp, #E_STRIPS] /* and STRIP */
  ldrd r10, r11, [sp, #E_NEXT] /* and SKIP */
  ldr r12, [sp, #E_END]
  subs r8, #1
  beq 2f
  str r8, [sp, #E_STRIPS]
  add r4, r10
  add r0, r11
  add r1, r11
  add r2, r11
  add r3, r11
  add r12, r9
  str r12, [sp, #E_END]
  b 1b
2:
  add sp, #E_FRAME
  pop {r4-r11, pc}
3:
  STRIP_OF 0
  b 2b
  .size kg_depthwise_expand_s8, . - kg_depthwise_expand_s8

  .section .text.kg_depthwise3x3, "ax", %progbits

/* 3x3: where things are on the stack */
  .equ START, 0 /* then multiplier, offset */
  .equ SCALING, 4
  .equ OUT, 12
  .equ Y_ROW, 16
  .equ Y_COL, 20
  .equ END, 24 /* where the last whole tile of a row has its first pair */
  .equ STRIP, 28
  .equ LEFT, 32     /* rows */
  .equ SKIP, 36     /* bytes of pairs from the end of a row of tiles to the next one */
  .equ OUT_SKIP, 40 /* the same of results */
  .equ REST, 44     /* columns beside whole tiles */
  .equ TILES, 48    /* bytes of pairs that whole tiles of a row advance by */
  .equ X, 52
  .equ STREAM, 56
  .equ Y, 60
  .equ PLANE, 64
  .equ ROWS, 68
  .equ CHANNELS, 72
  .equ SHIFT_BITS, 76
  .equ FRAME, 84 /* with nine saved registers a multiple of eight */

/* r0 x, r1 stream, r2 y, r3 the block; a tile takes 2^columns columns of `rows` rows and 2^bytes bytes of pairs */
  .macro BEGIN rows, columns, bytes
  push {r4-r11, lr}
  sub sp, #FRAME
  ldm r3, {r4-r9} /* strip, plane, y_row, y_col, rows, cols */
  strd r0, r1, [sp, #X]
  strd r2, r5, [sp, #Y]
  strd r6, r7, [sp, #Y_ROW]
  str r4, [sp, #STRIP]
  str r8, [sp, #ROWS]
  lsr r5, r9, #\columns
  lsl r0, r5, #\bytes
  sub r1, r9, r5, lsl #\columns
  strd r1, r0, [sp, #REST]
  sub r4, r0
  .if \rows == 2
  lsl r6, #1
  .endif
  lsl r5, #\columns
  .if \columns == 2 /* beside fours a couple advances, too */
  and r0, r1, #2
  add r5, r0
  sub r4, r4, r0, lsl #3
  .endif
  mls r6, r5, r7, r6
  strd r4, r6, [sp, #SKIP]
  mov r4, #4
  str r4, [sp, #CHANNELS]
  .endm

/* weights of a channel into r4-r9: pairs (0, 1) and (1, 2) of each column; r0, r1 the first strips, r3 the rows, r12 the shift */
  .macro CHANNEL
  ldrd r0, r1, [sp, #X]
  ldm r1!, {r4-r9}
  ldm r1!, {r2, r3, r10, r12}
  str r1, [sp, #STREAM]
  strd r2, r3, [sp, #START]
  ldr r2, [sp, #Y]
  str r12, [sp, #SHIFT_BITS]
  strd r10, r2, [sp, #SCALING + 4] /* and OUT */
  ldrd r11, r2, [sp, #TILES] /* and X */
  ldr r3, [sp, #ROWS]
  add r11, r2
  ldr r2, [sp, #STRIP]
  str r11, [sp, #END]
  add r1, r0, r2
  .endm

/* on to the next row of tiles */
  .macro NEXT_ROW
  ldrd r2, r3, [sp, #SKIP] /* and OUT_SKIP */
  ldr r12, [sp, #OUT]
  add r0, r2
  add r1, r2
  add r12, r3
  ldrd r2, r3, [sp, #END] /* and STRIP */
  str r12, [sp, #OUT]
  add r2, r3
  ldr r3, [sp, #LEFT]
  str r2, [sp, #END]
  .endm

  .macro NEXT_CHANNEL label
  ldr r0, [sp, #X]
  ldrd r1, r2, [sp, #Y] /* and PLANE */
  ldr r3, [sp, #CHANNELS]
  add r0, r2
  adds r1, #1
  str r0, [sp, #X]
  str r1, [sp, #Y]
  subs r3, #1
  str r3, [sp, #CHANNELS]
  bne \label
  add sp, #FRAME
  pop {r4-r11, pc}
  .endm

/* Sums become results; `fixed`: the shift is KG_DEPTHWISE_SHIFT. */
  .macro RESULTS fixed, sums:vararg
  ldrd r2, r3, [sp, #SCALING]
  .irp sum, \sums
  smmla \sum, \sum, r2, r3
  .endr
  .if \fixed
  .irp sum, \sums
  ssat \sum, #8, \sum, asr #SHIFT
  .endr
  .else
  ldr r2, [sp, #SHIFT_BITS]
  .irp sum, \sums
  asr \sum, r2
  ssat \sum, #8, \sum
  .endr
  .endif
  .endm

/* A column x of the upper strip: both halves meet the first two weights in the window above, the lower half the first weight in the window
 * one row below. a0, b0: what the sums are before. */
  .macro UPPER rows, a, b, x, k, a0, b0
  smlad \a, \x, \k, \a0
  .if \rows == 2
  smlatb \b, \x, \k, \b0
  .endif
  .endm

/* The same of the lower strip: the third weight above, the second and the third below. */
  .macro LOWER rows, a, b, x, k
  smlabt \a, \x, \k, \a
  .if \rows == 2
  smlad \b, \x, \k, \b
  .endif
  .endm

/* Two columns of one or two rows; sums in r10 (row 0), r11 (row 1), r12, lr (second column) */
  .macro TILE rows, fixed
  ldr lr, [sp, #START]
  ldrd r2, r3, [r0]
  UPPER \rows, r10, r11, r2, r4, lr, lr
  UPPER \rows, r10, r11, r3, r6, r10, r11
  UPPER \rows, r12, lr, r3, r4, lr, lr
  ldrd r2, r3, [r0, #8]!
  UPPER \rows, r10, r11, r2, r8, r10, r11
  UPPER \rows, r12, lr, r2, r6, r12, lr
  UPPER \rows, r12, lr, r3, r8, r12, lr
  ldrd r2, r3, [r1]
  LOWER \rows, r10, r11, r2, r5
  LOWER \rows, r10, r11, r3, r7
  LOWER \rows, r12, lr, r3, r5
  ldrd r2, r3, [r1, #8]!
  LOWER \rows, r10, r11, r2, r9
  LOWER \rows, r12, lr, r2, r7
  LOWER \rows, r12, lr, r3, r9
  .if \rows == 2
  RESULTS \fixed, r10, r11, r12, lr
  .else
  RESULTS \fixed, r10, r12
  .endif
  ldrd r2, r3, [sp, #OUT] /* and Y_ROW */
  strb r10, [r2]
  .if \rows == 2
  strb r11, [r2, r3]
  .endif
  ldrd r10, r11, [sp, #Y_COL] /* and END */
  add r2, r10
  strb r12, [r2]
  .if \rows == 2
  strb lr, [r2, r3]
  .endif
  add r2, r10
  str r2, [sp, #OUT]
  cmp r0, r11
  .endm

/* The last column of an odd number. */
  .macro LAST rows, fixed
  ldr r12, [sp, #START]
  ldrd r2, r3, [r0]
  UPPER \rows, r10, r11, r2, r4, r12, r12
  UPPER \rows, r10, r11, r3, r6, r10, r11
  ldr r2, [r0, #8]
  UPPER \rows, r10, r11, r2, r8, r10, r11
  ldrd r2, r3, [r1]
  LOWER \rows, r10, r11, r2, r5
  LOWER \rows, r10, r11, r3, r7
  ldr r2, [r1, #8]
  LOWER \rows, r10, r11, r2, r9
  .if \rows == 2
  RESULTS \fixed, r10, r11
  .else
  RESULTS \fixed, r10
  .endif
  ldrd r2, r3, [sp, #OUT] /* and Y_ROW */
  strb r10, [r2]
  .if \rows == 2
  strb r11, [r2, r3]
  .endif
  .endm

  .macro TILES_OF_A_ROW rows, fixed
  ldrd r2, r3, [sp, #REST] /* and TILES */
  cmp r3, #0
  beq 12f
11:
  TILE \rows, \fixed
  bne 11b
  ldr r2, [sp, #REST]
12:
  cmp r2, #0
  beq 13f
  LAST \rows, \fixed
13:
  .endm

  .macro CHANNEL_3X3 fixed
  subs r3, #1 /* LEFT: rows less one */
  beq 3f
2:
  str r3, [sp, #LEFT]
  TILES_OF_A_ROW 2, \fixed
  NEXT_ROW
  subs r3, #2
  bgt 2b
  blt 4f
3:
  TILES_OF_A_ROW 1, \fixed
4:
  NEXT_CHANNEL 1b
  .endm

  .balign 4
  .global kg_depthwise3x3_s8
  .type kg_depthwise3x3_s8, %function
kg_depthwise3x3_s8:
  BEGIN 2, 1, 3
1:
  CHANNEL
  cmp r12, #SHIFT
  bne 5f
  CHANNEL_3X3 1
5:
  CHANNEL_3X3 0
  .size kg_depthwise3x3_s8, . - kg_depthwise3x3_s8

/* Windows two columns apart: one sum from one strip, with the weights ka, kb, kc. */
  .macro THREE op, x, sum, before, ka, kb, kc, last
  \op \sum, r2, \ka, \before
  \op \sum, r3, \kb, \sum
  .if \last
  ldr r2, [\x, #8]
  .else
  ldrd r2, r3, [\x, #8]!
  .endif
  \op \sum, r2, \kc, \sum
  .endm

/* 4, 2 or 1 columns; sums in r10, r11, r12, lr */
  .macro APART columns, fixed
  ldr lr, [sp, #START]
  ldrd r2, r3, [r0]
  THREE smlad, r0, r10, lr, r4, r6, r8, (\columns == 1)
  .if \columns > 1
  THREE smlad, r0, r11, lr, r4, r6, r8, (\columns == 2)
  .endif
  .if \columns > 2
  THREE smlad, r0, r12, lr, r4, r6, r8, 0
  THREE smlad, r0, lr, lr, r4, r6, r8, 1
  .endif
  ldrd r2, r3, [r1]
  THREE smlabt, r1, r10, r10, r5, r7, r9, (\columns == 1)
  .if \columns > 1
  THREE smlabt, r1, r11, r11, r5, r7, r9, (\columns == 2)
  adds r0, #8
  .endif
  .if \columns > 2
  THREE smlabt, r1, r12, r12, r5, r7, r9, 0
  THREE smlabt, r1, lr, lr, r5, r7, r9, 1
  .endif
  .if \columns == 1
  RESULTS \fixed, r10
  .elseif \columns == 2
  RESULTS \fixed, r10, r11
  .else
  RESULTS \fixed, r10, r11, r12, lr
  .endif
  ldr r2, [sp, #OUT]
  strb r10, [r2]
  .if \columns > 1
  adds r1, #8
  ldr r10, [sp, #Y_COL]
  strb r11, [r2, r10]
  add r2, r2, r10, lsl #1
  .if \columns > 2
  strb r12, [r2]
  strb lr, [r2, r10]
  add r2, r2, r10, lsl #1
  .endif
  str r2, [sp, #OUT]
  .endif
  .endm

  .macro CHANNEL_STEP2 fixed
2:
  str r3, [sp, #LEFT]
  ldrd r2, r3, [sp, #REST] /* and TILES */
  cmp r3, #0
  beq 4f
3:
  APART 4, \fixed
  ldr r3, [sp, #END]
  cmp r0, r3
  bne 3b
  ldr r2, [sp, #REST]
4:
  lsrs r3, r2, #1
  beq 5f
  APART 2, \fixed
  ldr r2, [sp, #REST]
5:
  lsls r2, #31
  beq 6f
  APART 1, \fixed
6:
  NEXT_ROW
  subs r3, #1
  bne 2b
  NEXT_CHANNEL 1b
  .endm

  .balign 4
  .global kg_depthwise3x3_step2_s8
  .type kg_depthwise3x3_step2_s8, %function
kg_depthwise3x3_step2_s8:
  BEGIN 1, 2, 5
1:
  CHANNEL
  cmp r12, #SHIFT
  bne 7f
  CHANNEL_STEP2 1
7:
  CHANNEL_STEP2 0
  .size kg_depthwise3x3_step2_s8, . - kg_depthwise3x3_step2_s8

  .section .text.kg_depthwise_s8_parts, "ax", %progbits

/* Windows of any height: where things are on the stack */
  .equ G_START, 0 /* then multiplier, offset, shift, form */
  .equ G_SCALING, 4
  .equ G_FORM, 16
  .equ G_OUT, 20
  .equ G_Y_COL, 24
  .equ G_STRIP, 28
  .equ G_END, 32 /* of the weights of a row */
  .equ G_K, 36
  .equ G_X, 40
  .equ G_LEFT, 44 /* columns */
  .equ G_ROWS, 48
  .equ G_AT, 52 /* row of the window */
  .equ G_OUT_SKIP, 56 /* bytes of results from the end of a row to the next one */
  .equ G_PLANE, 60 /* of the channel */
  .equ G_PAIRS, 64 /* weights of the channel */
  .equ G_SET, 68
  .equ G_STEP, 72
  .equ G_COLS, 76
  .equ G_STREAM, 80
  .equ G_Y, 84
  .equ G_CHANNELS, 88
  .equ G_BLOCK, 92
  .equ G_FRAME, 100

/* of a kg_depthwise_block */
  .equ B_PLANE, 4
  .equ B_ROWS, 16
  .equ B_STEP, 24
  .equ B_SET, 28
  .equ B_RECORD, 32
  .equ B_RECTIFIED, 36
  .equ B_PAIRS, 40

  .balign 4
  .type begin, %function
begin:
  ldm r3, {r4-r10} /* strip, plane, y_row, y_col, rows, cols, step */
  str r4, [sp, #G_STRIP]
  str r7, [sp, #G_Y_COL]
  mls r6, r7, r9, r6
  str r6, [sp, #G_OUT_SKIP]
  str r9, [sp, #G_COLS]
  ldrd r6, r7, [r3, #B_SET] /* and RECORD */
  ldrd r8, r9, [r3, #B_RECTIFIED] /* and PAIRS */
  strd r6, r10, [sp, #G_SET] /* and STEP */
  str r8, [sp, #G_FORM]
  sub r0, r5 /* at the end of a channel before the first one */
  sub r1, r7
  subs r2, #1
  strd r0, r9, [sp, #G_PLANE] /* and PAIRS */
  strd r1, r2, [sp, #G_STREAM] /* and Y */
  mov r0, #5
  strd r0, r3, [sp, #G_CHANNELS] /* and BLOCK */
  mov r0, #1
  str r0, [sp, #G_ROWS]
  b next
  .size begin, . - begin

/* The next row, or the first row of the next channel; equal where there is none. */
  .type next, %function
next:
  ldrd r0, r1, [sp, #G_ROWS] /* and AT */
1:
  ldrd r2, r3, [sp, #G_SET] /* and STEP */
  subs r0, #1
  beq 2f
  add r1, r3
  strd r0, r1, [sp, #G_ROWS]
  ldrd r4, r5, [sp, #G_PLANE] /* and PAIRS */
  ldr r6, [sp, #G_STRIP]
  lsr r0, r1, #1
  mla r4, r0, r6, r4
  lsls r1, #31
  it ne
  addne r5, r2
  strd r5, r4, [sp, #G_K] /* and X */
  add r5, r2
  str r5, [sp, #G_END]
  ldr r0, [sp, #G_OUT]
  ldr r1, [sp, #G_OUT_SKIP]
  add r0, r1
  str r0, [sp, #G_OUT]
  ldr r2, [sp, #G_COLS]
  str r2, [sp, #G_LEFT]
  movs r2, #1
  bx lr
2:
  ldrd r2, r3, [sp, #G_CHANNELS] /* and BLOCK */
  subs r2, #1
  it eq
  bxeq lr
  str r2, [sp, #G_CHANNELS]
  ldrd r0, r1, [sp, #G_STREAM] /* and Y */
  ldr r4, [r3, #B_RECORD]
  ldr r5, [r3, #B_PLANE]
  ldrd r6, r7, [sp, #G_PLANE] /* and PAIRS */
  add r0, r4
  adds r1, #1
  add r6, r5
  strd r0, r1, [sp, #G_STREAM]
  str r6, [sp, #G_PLANE]
  ldr r5, [sp, #G_OUT_SKIP]
  sub r1, r5
  str r1, [sp, #G_OUT]
  mov r1, r7
  add r2, r0, r4
  sub r2, #16
  ldr r12, [r3, #B_ROWS]
  mov r3, #0xFF00FF00
3: /* weights become pairs times 256, four words at a time; there are four words of other things behind them */
  ldm r0!, {r4, r6, r8, r10}
  and r5, r3, r4
  and r4, r3, r4, lsl #8
  and r7, r3, r6
  and r6, r3, r6, lsl #8
  and r9, r3, r8
  and r8, r3, r8, lsl #8
  and r11, r3, r10
  and r10, r3, r10, lsl #8
  stm r1!, {r4-r11}
  cmp r0, r2
  blo 3b
  ldm r2, {r4-r7} /* start, multiplier, offset, shift */
  ldr r1, [sp, #G_STEP]
  lsl r4, #8
  strd r4, r5, [sp, #G_START]
  strd r6, r7, [sp, #G_START + 8]
  add r0, r12, #1 /* the row before the first one */
  rsb r1, r1, #0
  b 1b
  .size next, . - next

/* `count` sums in r8-r11 become results; r2 multiplier, r3 offset, r4 shift, r5 = -128 */
  .macro RECTIFIED sum
  smmla \sum, \sum, r2, r3
  asr \sum, r4
  ssat \sum, #8, \sum
  .endm

  .macro SIGNED sum
  smmul \sum, \sum, r2
  adds \sum, #64
  and r6, r5, \sum, asr #31
  add \sum, r6
  add \sum, r3
  asr \sum, r4
  ssat \sum, #8, \sum
  .endm

  .macro FINISH name, count, sums:vararg
  .balign 4
  .type \name, %function
\name:
  add r6, sp, #G_SCALING
  ldm r6, {r2-r5} /* multiplier, offset, shift, form */
  cbz r5, 1f
  .irp sum, \sums
  RECTIFIED \sum
  .endr
2:
  ldrd r2, r3, [sp, #G_OUT] /* and Y_COL */
  strb r8, [r2]
  .if \count == 1
  add r2, r3
  .else
  strb r9, [r2, r3]
  add r2, r2, r3, lsl #1
  .endif
  .if \count == 4
  strb r10, [r2]
  strb r11, [r2, r3]
  add r2, r2, r3, lsl #1
  .endif
  str r2, [sp, #G_OUT]
  bx lr
1:
  mvn r5, #127
  .irp sum, \sums
  SIGNED \sum
  .endr
  b 2b
  .size \name, . - \name
  .endm

  FINISH finish4, 4, r8, r9, r10, r11
  FINISH finish2, 2, r8, r9
  FINISH finish1, 1, r8

SUM0 .req r8
SUM1 .req r9
SUM2 .req r10
SUM3 .req r11
TAP0 .req r2
TAP1 .req r3
TAP2 .req r4
TAP3 .req r5
TAP4 .req r6
TAP5 .req r7
TAP6 .req r12

/* weights of a strip: an even number of columns, of which the last one is nothing */
  .macro WEIGHTS taps
  .if \taps == 1
  ldrd r2, r3, [r1], #8
  .elseif \taps == 3
  ldm r1!, {r2-r5}
  .elseif \taps == 5
  ldm r1!, {r2-r6, r12}
  .else
  ldm r1!, {r2-r7, r12, lr}
  .endif
  .endm

/* column q, in x, goes to all windows that see it */
  .macro USE taps, step, count, q, x
  .irp i, 0, 1, 2, 3
  .irp j, 0, 1, 2, 3, 4, 5, 6
  .if (\i < \count) && (\j < \taps) && (\i * \step + \j == \q)
  smlad SUM\i, \x, TAP\j, SUM\i
  .endif
  .endr
  .endr
  .endm

  .macro STRIP_OF_A_TILE taps, step, count
  WEIGHTS \taps
  .set WORDS, (\count - 1) * \step + \taps
  .set Q, 0
  .rept 13
  .if (\taps < 7) && (Q + 1 < WORDS)
  ldrd lr, r12, [r0, #4 * Q]
  USE \taps, \step, \count, Q, lr
  USE \taps, \step, \count, (Q + 1), r12
  .set Q, Q + 2
  .elseif Q < WORDS
  ldr lr, [r0, #4 * Q]
  USE \taps, \step, \count, Q, lr
  .set Q, Q + 1
  .endif
  .endr
  .endm

  .macro TILE_OF taps, step, count, finish
  ldrd r1, r0, [sp, #G_K] /* and X */
  ldr r8, [sp, #G_START]
  add r2, r0, #4 * \step * \count
  str r2, [sp, #G_X]
  .if \count > 1
  mov r9, r8
  .endif
  .if \count > 2
  mov r10, r8
  mov r11, r8
  .endif
9:
  STRIP_OF_A_TILE \taps, \step, \count
  .if \taps < 7
  ldrd lr, r12, [sp, #G_STRIP] /* and END */
  add r0, lr
  cmp r1, r12
  .else
  ldr lr, [sp, #G_STRIP]
  add r0, lr
  ldr lr, [sp, #G_END]
  cmp r1, lr
  .endif
  bne 9b
  bl \finish
  .endm

  .macro GENERAL taps, step
  .balign 4
  .global kg_depthwise_\taps\()_\step
  .type kg_depthwise_\taps\()_\step, %function
kg_depthwise_\taps\()_\step:
  push {r4-r11, lr}
  sub sp, #G_FRAME
  bl begin
1:
  ldr r3, [sp, #G_LEFT]
  subs r3, #4
  blt 3f
  str r3, [sp, #G_LEFT]
  TILE_OF \taps, \step, 4, finish4
  b 1b
3:
  lsls r2, r3, #30 /* 4 less than what is left: the same lowest bits */
  bpl 4f
  TILE_OF \taps, \step, 2, finish2
  ldr r3, [sp, #G_LEFT]
4:
  lsls r2, r3, #31
  beq 5f
  TILE_OF \taps, \step, 1, finish1
5:
  bl next
  bne 1b
  add sp, #G_FRAME
  pop {r4-r11, pc}
  .size kg_depthwise_\taps\()_\step, . - kg_depthwise_\taps\()_\step
  .endm

  GENERAL 1, 1
  GENERAL 3, 1
  GENERAL 5, 1
  GENERAL 7, 1
  GENERAL 1, 2
  GENERAL 3, 2
  GENERAL 5, 2
  GENERAL 7, 2
#endif
