/* Stochastic rounding of error tensors, four elements at a time: 51 instructions, most of them for the random numbers. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
  .text

  .equ ONES, 0
  .equ LIMIT_BELOW, 4
  .equ RANDOM_MASK, 8
  .equ END, 12

/* (acc + 16 random bits * 2^(shift - 16)) >> shift, saturated: r2 the random number's state, r10 its increment, r11 its factor, r12 the
 * mask, lr 2^(shift + 1), r3 shift */
  .macro ROUND acc
  eor r8, r2, r2, lsr #16
  mul r8, r8, r11
  and r8, r12, r8, lsr #1
  smmla \acc, r8, lr, \acc
  asr \acc, r3
  ssat \acc, #8, \acc
  add r2, r10
  .endm

/* r0 acc, r1 where to, r2 random, r3 the form. Adding INT32_MAX - limit saturates, and sets the Q flag, where an element is larger. */
  .balign 4
  .global kg_error_fours
  .type kg_error_fours, %function
kg_error_fours:
  push {r4-r11, lr}
  sub sp, #20
  ldm r3, {r4-r7}
  add r4, r0, r4, lsl #4
  add r8, r7, #1 /* from below: acc - (limit + 1) */
  mov r9, #0x01010101
  strd r9, r8, [sp, #ONES]
  movw r12, #0x8000
  movt r12, #0x7FFF
  strd r12, r4, [sp, #RANDOM_MASK]
  mov lr, r5
  mov r3, r6
  mov r9, r7
  movw r10, #0x79B9
  movt r10, #0x9E37
  movw r11, #0xCA6B
  movt r11, #0x85EB
  mov r8, #0
  msr APSR_nzcvq, r8
1:
  ldm r0!, {r4-r7}
  qadd r8, r4, r9
  qadd r8, r5, r9
  qadd r8, r6, r9
  qadd r8, r7, r9
  ldr r8, [sp, #LIMIT_BELOW]
  qsub r12, r4, r8
  qsub r12, r5, r8
  qsub r12, r6, r8
  qsub r12, r7, r8
  ldr r12, [sp, #RANDOM_MASK]
  ROUND r4
  ROUND r5
  ROUND r6
  ROUND r7
  pkhbt r4, r4, r6, lsl #16
  pkhbt r5, r5, r7, lsl #16
  uxtb16 r4, r4
  uxtb16 r5, r5
  orr r4, r4, r5, lsl #8
  ldr r5, [sp, #ONES]
  qsub8 r4, r4, r5 /* -128 becomes -127 */
  sadd8 r4, r4, r5
  str r4, [r1], #4
  ldr r8, [sp, #END]
  cmp r0, r8
  bne 1b
  mrs r0, apsr
  ubfx r0, r0, #27, #1
  add sp, #20
  pop {r4-r11, pc}
  .size kg_error_fours, . - kg_error_fours
#endif
