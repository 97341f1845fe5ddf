/* Windows over planes for cores with the DSP extension: 6 instructions for four products, 8 cycles on an M4. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
  .text

  .equ PLANE, 0
  .equ WEIGHTS, 4
  .equ SUMS, 8
  .equ SPANS, 12
  .equ COLUMNS, 16
  .equ ROWS, 20
  .equ PLANE_ROW, 24
  .equ WEIGHT_ROW, 28
  .equ STEP, 32
  .equ FRAME, 36 /* with nine saved registers a multiple of eight */

/* r8 plane, r9 weights, r4-r7 the sums */
  .macro TAP
  ldrd r0, r1, [r8], #8
  ldrd r2, r3, [r9], #8
  smlabb r4, r0, r2, r4
  smlabb r5, r1, r3, r5
  smlatt r6, r0, r2, r6
  smlatt r7, r1, r3, r7
  .endm

/* r0 plane, r1 weights, r2 sums, r3 spans; then start and the sizes */
  .balign 4
  .global kg_planes_row
  .type kg_planes_row, %function
kg_planes_row:
  push {r4-r11, lr}
  sub sp, #FRAME
  ldr r12, [sp, #FRAME + 40]
  ldm r12, {r4-r8}
  strd r0, r1, [sp, #PLANE]
  strd r2, r3, [sp, #SUMS]
  strd r5, r4, [sp, #COLUMNS]
  strd r6, r7, [sp, #PLANE_ROW]
  str r8, [sp, #STEP]
1:
  ldrd r8, r9, [sp, #PLANE]
  ldr r3, [sp, #SPANS]
  ldm r3!, {r0-r2}
  str r3, [sp, #SPANS]
  add r8, r0
  add r9, r1
  ldrd r11, r12, [sp, #PLANE_ROW]
  sub r11, r11, r2, lsl #3
  sub r12, r12, r2, lsl #3
  add r2, r2, r2, lsl #1
  adr lr, 3f /* the end of seven times 24 bytes */
  sub lr, lr, r2, lsl #3
  add lr, #1
  ldr r3, [sp, #FRAME + 36]
  ldm r3, {r4-r7}
  ldr r10, [sp, #ROWS]
  cmp r10, #0
  beq 4f
2:
  bx lr
  .balign 4
  TAP
  TAP
  TAP
  TAP
  TAP
  TAP
  TAP
3:
  add r8, r11
  add r9, r12
  subs r10, #1
  bne 2b
4:
  ldr r3, [sp, #SUMS]
  ldr r2, [sp, #STEP]
  stm r3, {r4-r7}
  add r3, r2
  str r3, [sp, #SUMS]
  ldr r2, [sp, #COLUMNS]
  subs r2, #1
  str r2, [sp, #COLUMNS]
  bne 1b
  add sp, #FRAME
  pop {r4-r11, pc}
  .size kg_planes_row, . - kg_planes_row
#endif
