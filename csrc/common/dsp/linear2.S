/* kg_linear2_s8 (linear2.h) for cores with the DSP extension: 5.75 instructions an element; by hand count as many cycles on Cortex-M4, but
 * for loads that meet a busy bus.
 *
 * Elements become multiples of 256 when they are taken apart by a mask, factors are multiplied by 256: SMLAW drops the 16 bits that are 0.
 * r0, r1 operands, r2 result, r3 its end, r4, r5 factors, r6 offset, r7 mask. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
  .text

  .macro FOUR shift
  ldr r8, [r0], #4
  ldr r9, [r1], #4
  and r10, r7, r8
  and r8, r7, r8, lsl #8
  and r11, r7, r9
  and r9, r7, r9, lsl #8
  smlawb r12, r4, r8, r6
  smlawb lr, r4, r10, r6
  smlawt r8, r4, r8, r6
  smlawt r10, r4, r10, r6
  smlawb r12, r5, r9, r12
  smlawb lr, r5, r11, lr
  smlawt r8, r5, r9, r8
  smlawt r10, r5, r11, r10
  ssat r12, #8, r12, asr #\shift
  ssat lr, #8, lr, asr #\shift
  ssat r8, #8, r8, asr #\shift
  ssat r10, #8, r10, asr #\shift
  strb lr, [r2, #1]
  strb r8, [r2, #2]
  strb r10, [r2, #3]
  strb r12, [r2], #4
  .endm

  .balign 4
  .global kg_linear2_s8
  .type kg_linear2_s8, %function
kg_linear2_s8:
  push {r4-r11, lr}
  ldr r12, [sp, #36]
  add r3, r2, r3
  ldr r4, [r12]
  ldr r5, [r12, #4]
  ldr r6, [r12, #8]
  lsl r4, r4, #8
  lsl r5, r5, #8
  mov r7, #0xFF00FF00
  cmp r2, r3
  beq 2f
  ldr r8, [r12, #12]
  cmp r8, #22
  bne 3f
1:
  FOUR 22
  FOUR 22
  cmp r2, r3
  bne 1b
2:
  pop {r4-r11, pc}
3:
  FOUR 20
  FOUR 20
  cmp r2, r3
  bne 3b
  pop {r4-r11, pc}
  .size kg_linear2_s8, . - kg_linear2_s8
#endif
