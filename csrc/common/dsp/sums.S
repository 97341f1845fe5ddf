/* The functions of sums.h for cores with the DSP extension. The main loop takes 13 instructions for 16 products; on an M4, where a load
 * of n words takes n + 1 cycles and one behind another load n, about 18 cycles. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
  .text

  .equ INPUTS, 0
  .equ END, 4
  .equ WEIGHTS, 8
  .equ SUMS, 12
  .equ GROUPS, 16
  .equ GROUP_BYTES, 20
  .equ ROW, 24
  .equ FRAME, 28

/* r0 blocks, r1 weights; r4-r7 sums of the first channel, r8-r11 those of the second */
  .macro PAIR
  ldm r0!, {r2, r3, r12}
  ldr r12, [r1, r12]
  sxtb16 lr, r12, ror #8
  sxtb16 r12, r12
  smlad r4, r2, r12, r4
  smlad r5, r3, r12, r5
  smlad r8, r2, lr, r8
  smlad r9, r3, lr, r9
  ldrd r2, r3, [r0], #8
  smlad r6, r2, r12, r6
  smlad r7, r3, r12, r7
  smlad r10, r2, lr, r10
  smlad r11, r3, lr, r11
  .endm

  .balign 4
  .global kg_sums2x4
  .type kg_sums2x4, %function
kg_sums2x4:
  push {r4-r11, lr}
  sub sp, #FRAME
  ldr r4, [sp, #FRAME + 36]
  ldm r4, {r4-r6}
  strd r0, r1, [sp, #INPUTS]
  strd r2, r3, [sp, #WEIGHTS]
  strd r4, r5, [sp, #GROUPS]
  str r6, [sp, #ROW]
1:
  ldrd r1, r3, [sp, #WEIGHTS]
  ldr r12, [sp, #ROW]
  ldrd r4, r8, [r3]
  add r3, r12
  ldrd r5, r9, [r3]
  add r3, r12
  ldrd r6, r10, [r3]
  add r3, r12
  ldrd r7, r11, [r3]
  ldr r0, [sp, #INPUTS]
2:
  PAIR
  PAIR
  PAIR
  PAIR
  ldr r2, [sp, #END]
  cmp r0, r2
  bne 2b
  ldrd r0, r3, [sp, #WEIGHTS]
  ldr r12, [sp, #ROW]
  strd r4, r8, [r3], #8
  sub r2, r3, #8
  add r2, r12
  strd r5, r9, [r2]
  add r2, r12
  strd r6, r10, [r2]
  add r2, r12
  strd r7, r11, [r2]
  ldrd r1, r2, [sp, #GROUPS]
  add r0, r2
  strd r0, r3, [sp, #WEIGHTS]
  subs r1, #1
  str r1, [sp, #GROUPS]
  bne 1b
  add sp, #FRAME
  pop {r4-r11, pc}
  .size kg_sums2x4, . - kg_sums2x4

/* one pair of four pixels: r8 the zero, twice; r9 the offset; inputs in r1-r3 and r10 */
  .macro BLOCK rotation
  sxtab16 r11, r8, r1, ror #\rotation
  sxtab16 r12, r8, r2, ror #\rotation
  strd r11, r12, [r0]
  orr lr, r11, r12
  str r9, [r0, #8]
  sxtab16 r11, r8, r3, ror #\rotation
  sxtab16 r12, r8, r10, ror #\rotation
  strd r11, r12, [r0, #12]
  orr lr, r11
  orrs lr, r12
  it ne
  addne r0, #20
  add r9, #4
  .endm

/* r0 where to, r1 the pointers, r2 fours, r3 the zero */
  .balign 4
  .global kg_sums_inputs
  .type kg_sums_inputs, %function
kg_sums_inputs:
  push {r4-r11, lr}
  sub sp, #4
  ldr r9, [sp, #40]
  pkhbt r8, r3, r3, lsl #16
  ldm r1, {r4-r7}
  add r2, r4, r2, lsl #2
  str r2, [sp]
1:
  ldr r1, [r4], #4
  ldr r2, [r5], #4
  ldr r3, [r6], #4
  ldr r10, [r7], #4
  BLOCK 0
  BLOCK 8
  ldr r1, [sp]
  cmp r4, r1
  bne 1b
  add sp, #4
  pop {r4-r11, pc}
  .size kg_sums_inputs, . - kg_sums_inputs

/* two folded pairs of one pixel, to `first` and `second` bytes behind r0: r8, r9 the factors, r10 half, r11 shift, r12 all errors so far */
  .macro FOLD pixel, first, second
  ldr r1, [\pixel], #4
  orr r12, r1
  sxtb16 r2, r1
  sxtb16 r1, r1, ror #8
  smlabb r3, r2, r8, r10
  smlatt r2, r2, r8, r10
  asr r3, r11
  asr r2, r11
  pkhbt r3, r3, r2, lsl #16
  str r3, [r0, #\first]
  smlabb r3, r1, r9, r10
  smlatt r1, r1, r9, r10
  asr r3, r11
  asr r1, r11
  pkhbt r3, r3, r1, lsl #16
  str r3, [r0, #\second]
  .endm

  .equ FOLD_AT, 0
  .equ OFFSET, 4
  .equ LAST, 8

/* r0 where to, r1 the pointers, r2 fours, r3 factors, then half, shift, offset */
  .balign 4
  .global kg_sums_errors
  .type kg_sums_errors, %function
kg_sums_errors:
  push {r4-r11, lr}
  sub sp, #12
  ldr r4, [sp, #48]
  ldrd r10, r11, [r4]
  ldr r5, [r4, #8]
  strd r3, r5, [sp, #FOLD_AT]
  ldm r1, {r4-r7}
  add r2, r4, r2, lsl #2
  str r2, [sp, #LAST]
1:
  ldrd r1, r2, [sp, #FOLD_AT]
  ldrd r8, r9, [r1], #8
  str r2, [r0, #8]
  add r2, #4
  str r2, [r0, #28]
  add r2, #4
  strd r1, r2, [sp, #FOLD_AT]
  mov r12, #0
  FOLD r4, 0, 20
  FOLD r5, 4, 24
  FOLD r6, 12, 32
  FOLD r7, 16, 36
  mov r1, #0x00FF00FF
  tst r12, r1
  bne 2f
  add r2, r0, #20 /* the first pair is empty: the second takes its place */
  ldm r2, {r2, r3, r8, r9, lr}
  stm r0, {r2, r3, r8, r9, lr}
  b 3f
2:
  add r0, #20
3:
  tst r12, r1, lsl #8
  it ne
  addne r0, #20
  ldr r1, [sp, #LAST]
  cmp r4, r1
  bne 1b
  add sp, #12
  pop {r4-r11, pc}
  .size kg_sums_errors, . - kg_sums_errors

/* one result: r8-r10 multiplier, offset, shift; lr range + 1; r11 collects the bits of what was clamped */
  .macro RESULT sum
  ldm r1!, {r8-r10}
  ssat \sum, #24, \sum
  lsl \sum, #8
  smmul \sum, \sum, r8
  add \sum, #64
  asr r12, \sum, #31
  add \sum, r9
  add \sum, \sum, r12, lsl #7
  asr \sum, r10
  cmp \sum, lr
  adc r11, r11
  usat \sum, #8, \sum
  .endm

  .equ TOP, 0 /* 255 - range, four times */
  .equ LOW, 4 /* y_min minus that */
  .equ MASK, 8
  .equ EIGHTS, 12

  .macro FOUR
  ldm r0!, {r4-r7}
  RESULT r4
  RESULT r5
  RESULT r6
  RESULT r7
  ldrd r8, r9, [sp, #TOP]
  orr r4, r4, r5, lsl #8
  orr r4, r4, r6, lsl #16
  orr r4, r4, r7, lsl #24
  uqadd8 r4, r4, r8
  uadd8 r4, r4, r9
  str r4, [r2], #4
  .endm

/* r0 sums, r1 scaling, r2 y, r3 mask, then eights, range, low */
  .balign 4
  .global kg_sums_results
  .type kg_sums_results, %function
kg_sums_results:
  push {r4-r11, lr}
  sub sp, #20
  ldr r4, [sp, #56]
  ldm r4, {r4-r6}
  add lr, r5, #1
  rsb r5, r5, #255
  sub r6, r5
  uxtb r6, r6
  mov r7, #0x01010101
  mul r5, r5, r7
  mul r6, r6, r7
  strd r5, r6, [sp, #TOP]
  strd r3, r4, [sp, #MASK]
1:
  mov r11, #0
  FOUR
  FOUR
  ldrd r3, r4, [sp, #MASK]
  mvn r11, r11
  rbit r11, r11
  lsr r11, #24
  cbz r3, 2f
  strb r11, [r3], #1
2:
  subs r4, #1
  strd r3, r4, [sp, #MASK]
  bne 1b
  add sp, #20
  pop {r4-r11, pc}
  .size kg_sums_results, . - kg_sums_results
#endif
