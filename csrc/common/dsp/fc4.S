/* kg_fc4_s8 (fc4.h) for cores with the DSP extension: 18 instructions for 16 products.
 *
 * r0 inputs, r1 stream, r4-r7 sums of the four features; r2, r3 four inputs, r8-r11 their weights, r12 a pair of weights.
 * On the stack: y, end of the inputs, their start, groups left. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
  .text

/* two pairs of products of one feature */
  .macro FEATURE acc, weights
  sxtb16 r12, \weights
  sxtb16 \weights, \weights, ror #8
  smlad \acc, r12, r2, \acc
  smlad \acc, \weights, r3, \acc
  .endm

  .macro FOUR_INPUTS
  ldrd r2, r3, [r0], #8
  ldm r1!, {r8-r11}
  FEATURE r4, r8
  FEATURE r5, r9
  FEATURE r6, r10
  FEATURE r7, r11
  .endm

  .macro RESULT acc
  ldm r1!, {r2, r3, r8}
  smmla \acc, \acc, r2, r3
  asr \acc, \acc, r8
  ssat \acc, #8, \acc
  .endm

  .balign 4
  .global kg_fc4_s8
  .type kg_fc4_s8, %function
kg_fc4_s8:
  push {r4-r11, lr}
  sub sp, #20
  add r3, r0, r3, lsl #5 /* a step is 16 inputs of two bytes */
  ldr r4, [sp, #56]      /* groups */
  strd r2, r3, [sp]
  strd r0, r4, [sp, #8]
1:
  ldm r1!, {r4-r7}
  ldr lr, [sp, #4]
2:
  FOUR_INPUTS
  FOUR_INPUTS
  FOUR_INPUTS
  FOUR_INPUTS
  cmp r0, lr
  bne 2b
  RESULT r4
  RESULT r5
  RESULT r6
  RESULT r7
  ldr r2, [sp]
  strb r5, [r2, #1]
  strb r6, [r2, #2]
  strb r7, [r2, #3]
  strb r4, [r2], #4
  str r2, [sp]
  ldrd r0, r3, [sp, #8]
  subs r3, #1
  str r3, [sp, #12]
  bne 1b
  add sp, #20
  pop {r4-r11, pc}
  .size kg_fc4_s8, . - kg_fc4_s8
#endif
