/* The tiles of gemm.h for cores with the DSP extension: 13 instructions for 16 products (2x4), 15 (4x2).
 *
 * r0 inputs, r1 stream, r4-r11 the eight sums; r2, r3 pairs of inputs, r12, lr pairs of weights. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
  .text

/* where things are on the stack */
  .equ INPUTS, 0
  .equ Y, 4
  .equ STRIDE, 8
  .equ GROUPS, 12
  .equ END, 16
  .equ FORM, 20
  .equ FRAME, 28 /* with nine saved registers a multiple of eight */

/* r2 y, r3 the kg_gemm; `words` of inputs a pair */
  .macro BEGIN words
  push {r4-r11, lr}
  sub sp, #FRAME
  ldm r3, {r4-r7} /* steps, groups, y_stride, rectified */
  strd r0, r2, [sp, #INPUTS]
  strd r6, r5, [sp, #STRIDE]
  add r4, r0, r4, lsl #(\words + 3) /* 4 pairs a step: 16 (8) words of 4 bytes */
  strd r4, r7, [sp, #END]
  .endm

  .macro AGAIN label
  ldr r2, [sp, #END]
  cmp r0, r2
  bne \label
  .endm

  .macro NEXT_GROUP label
  ldr r3, [sp, #GROUPS]
  ldr r0, [sp, #INPUTS]
  subs r3, #1
  str r3, [sp, #GROUPS]
  bne \label
  .endm

/* four results of one channel that has multiplier r2, offset r3, shift r12: nothing below the zero point wanted */
  .macro RECTIFIED a, b, c, d
  smmla \a, \a, r2, r3
  smmla \b, \b, r2, r3
  smmla \c, \c, r2, r3
  smmla \d, \d, r2, r3
  asr \a, \a, r12
  asr \b, \b, r12
  asr \c, \c, r12
  asr \d, \d, r12
  ssat \a, #8, \a
  ssat \b, #8, \b
  ssat \c, #8, \c
  ssat \d, #8, \d
  .endm

/* one result, both signs; lr = -128 */
  .macro SIGNED sum
  smmul \sum, \sum, r2
  adds \sum, #64
  and r0, lr, \sum, asr #31
  add \sum, r0
  add \sum, r3
  asr \sum, \sum, r12
  ssat \sum, #8, \sum
  .endm

  .macro PAIR_2X4
  ldr r12, [r1], #4
  ldrd r2, r3, [r0], #8
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
  .global kg_gemm2x4_s8
  .type kg_gemm2x4_s8, %function
kg_gemm2x4_s8:
  BEGIN 3
1:
  ldrd r4, r8, [r1], #8
  mov r5, r4
  mov r6, r4
  mov r7, r4
  mov r9, r8
  mov r10, r8
  mov r11, r8
2:
  PAIR_2X4
  PAIR_2X4
  PAIR_2X4
  PAIR_2X4
  AGAIN 2b
  ldr r0, [sp, #FORM]
  ldm r1!, {r2, r3, r12}
  cmp r0, #0
  beq 3f
  RECTIFIED r4, r5, r6, r7
  ldm r1!, {r2, r3, r12}
  RECTIFIED r8, r9, r10, r11
  b 4f
3:
  mvn lr, #127
  SIGNED r4
  SIGNED r5
  SIGNED r6
  SIGNED r7
  ldm r1!, {r2, r3, r12}
  SIGNED r8
  SIGNED r9
  SIGNED r10
  SIGNED r11
4:
  ldrd r0, r12, [sp, #Y]
  add r2, r0, r12
  add r3, r2, r12
  strb r7, [r3, r12]
  add lr, r3, r12
  strb r11, [lr, #1]
  strb r6, [r3]
  strb r10, [r3, #1]
  strb r5, [r2]
  strb r9, [r2, #1]
  strb r8, [r0, #1]
  strb r4, [r0], #2
  str r0, [sp, #Y]
  NEXT_GROUP 1b
  add sp, #FRAME
  pop {r4-r11, pc}
  .size kg_gemm2x4_s8, . - kg_gemm2x4_s8

/* sums: r4, r5 channel 0 of pixels 0, 1; r6, r7 channel 1; .. */
  .macro TWO_CHANNELS a, b, c, d
  ldr r12, [r1], #4
  sxtb16 lr, r12, ror #8
  sxtb16 r12, r12
  smlad \a, r2, r12, \a
  smlad \b, r3, r12, \b
  smlad \c, r2, lr, \c
  smlad \d, r3, lr, \d
  .endm

  .macro PAIR_4X2
  ldrd r2, r3, [r0], #8
  TWO_CHANNELS r4, r5, r6, r7
  TWO_CHANNELS r8, r9, r10, r11
  .endm

  .macro RECTIFIED_TWO a, b
  ldm r1!, {r2, r3, r12}
  smmla \a, \a, r2, r3
  smmla \b, \b, r2, r3
  asr \a, \a, r12
  asr \b, \b, r12
  ssat \a, #8, \a
  ssat \b, #8, \b
  .endm

  .macro SIGNED_TWO a, b
  ldm r1!, {r2, r3, r12}
  SIGNED \a
  SIGNED \b
  .endm

  .balign 4
  .global kg_gemm4x2_s8
  .type kg_gemm4x2_s8, %function
kg_gemm4x2_s8:
  BEGIN 2
1:
  ldr r4, [r1], #4
  ldr r6, [r1], #4
  ldr r8, [r1], #4
  ldr r10, [r1], #4
  mov r5, r4
  mov r7, r6
  mov r9, r8
  mov r11, r10
2:
  PAIR_4X2
  PAIR_4X2
  PAIR_4X2
  PAIR_4X2
  AGAIN 2b
  ldr r0, [sp, #FORM]
  cmp r0, #0
  beq 3f
  RECTIFIED_TWO r4, r5
  RECTIFIED_TWO r6, r7
  RECTIFIED_TWO r8, r9
  RECTIFIED_TWO r10, r11
  b 4f
3:
  mvn lr, #127
  SIGNED_TWO r4, r5
  SIGNED_TWO r6, r7
  SIGNED_TWO r8, r9
  SIGNED_TWO r10, r11
4:
  ldrd r0, r12, [sp, #Y]
  add r2, r0, r12
  strb r5, [r2]
  strb r7, [r2, #1]
  strb r9, [r2, #2]
  strb r11, [r2, #3]
  strb r6, [r0, #1]
  strb r8, [r0, #2]
  strb r10, [r0, #3]
  strb r4, [r0], #4
  str r0, [sp, #Y]
  NEXT_GROUP 1b
  add sp, #FRAME
  pop {r4-r11, pc}
  .size kg_gemm4x2_s8, . - kg_gemm4x2_s8

/* r0 where to, r1 the pointers, r2 fours; lr the mask, r3-r6 the pixels */
  .balign 4
  .global kg_expand4_s8
  .type kg_expand4_s8, %function
kg_expand4_s8:
  push {r4-r11, lr}
  ldm r1, {r3-r6}
  mov lr, #0xFF00FF00
1:
  ldr r7, [r3], #4
  ldr r8, [r4], #4
  ldr r9, [r5], #4
  ldr r10, [r6], #4
  and r1, lr, r7, lsl #8
  and r11, lr, r8, lsl #8
  strd r1, r11, [r0], #8
  and r1, lr, r9, lsl #8
  and r11, lr, r10, lsl #8
  strd r1, r11, [r0], #8
  and r7, lr, r7
  and r8, lr, r8
  and r9, lr, r9
  and r10, lr, r10
  strd r7, r8, [r0], #8
  strd r9, r10, [r0], #8
  subs r2, #1
  bne 1b
  pop {r4-r11, pc}
  .size kg_expand4_s8, . - kg_expand4_s8

  .balign 4
  .global kg_expand2_s8
  .type kg_expand2_s8, %function
kg_expand2_s8:
  push {r4-r9, lr}
  ldm r1, {r3, r4}
  mov lr, #0xFF00FF00
1:
  ldr r7, [r3], #4
  ldr r8, [r4], #4
  and r5, lr, r7, lsl #8
  and r6, lr, r8, lsl #8
  strd r5, r6, [r0], #8
  and r7, lr, r7
  and r8, lr, r8
  strd r7, r8, [r0], #8
  subs r2, #1
  bne 1b
  pop {r4-r9, pc}
  .size kg_expand2_s8, . - kg_expand2_s8
#endif
