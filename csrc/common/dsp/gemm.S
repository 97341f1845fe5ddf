/* The tiles of gemm.h for cores with the DSP extension: 13 instructions for 16 products (2x4).
 *
 * r0 inputs, r1 stream, r4-r7 the sums of channel 0, r8-r11 of channel 1; r2, r3 pairs of inputs, r12, lr pairs of weights. The products of
 * 16 pairs stand one after the other; a window of any length enters them in the middle. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
  .syntax unified
  .thumb
  .text

  .equ KEEP, 8 /* KG_GEMM_KEEP */
  .equ UNROLLED, 16
  .equ PAIR_BYTES, 52 /* 13 wide instructions */

/* where things are on the stack */
  .equ INPUTS, 0
  .equ LIMIT, 4 /* of the stream: after it comes what DONE says */
  .equ GROUP, 8
  .equ Y, 12
  .equ STRIDE, 16
  .equ ENTRY, 20
  .equ END, 24
  .equ FINISH, 28
  .equ DONE, 32
  .equ SUMS, 36
  .equ WHOLE, 40
  .equ FRAME, 44 /* with nine saved registers a multiple of eight */

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

/* what comes first starts from the biases r4, r8 */
  .macro FIRST_2X4
  ldr r12, [r1], #4
  ldrd r2, r3, [r0], #8
  sxtb16 lr, r12, ror #8
  sxtb16 r12, r12
  smlad r5, r3, r12, r4
  smlad r9, r3, lr, r8
  mov r6, r4
  mov r10, r8
  smlad r4, r2, r12, r4
  smlad r8, r2, lr, r8
  ldrd r2, r3, [r0], #8
  smlad r7, r3, r12, r6
  smlad r11, r3, lr, r10
  smlad r6, r2, r12, r6
  smlad r10, r2, lr, r10
  .endm

/* results of one channel that has multiplier r2, offset r3, shift r12 */
  .macro RECTIFIED a, b, c, d
  ldm r1!, {r2, r3, r12}
  .irp sum, \a, \b, \c, \d
  smmla \sum, \sum, r2, r3
  .endr
  .irp sum, \a, \b, \c, \d
  asr \sum, \sum, r12
  .endr
  .irp sum, \a, \b, \c, \d
  ssat \sum, #8, \sum
  .endr
  .endm

  .macro RECTIFIED_BY shift, a, b, c, d
  ldm r1!, {r2, r3, r12}
  .irp sum, \a, \b, \c, \d
  smmla \sum, \sum, r2, r3
  .endr
  .irp sum, \a, \b, \c, \d
  ssat \sum, #8, \sum, asr #\shift
  .endr
  .endm

/* both signs; r12 the shift and, from bit 8 on, what negative sums fall by */
  .macro SIGNED sums:vararg
  ldm r1!, {r2, r3, r12}
  lsr lr, r12, #8
  .irp sum, \sums
  and r0, lr, \sum, asr #31
  sub r0, r3, r0
  smmla \sum, \sum, r2, r0
  asr \sum, \sum, r12
  ssat \sum, #8, \sum
  .endr
  .endm

/* both signs; r12 what negative sums fall by */
  .macro SIGNED_BY shift, sums:vararg
  ldm r1!, {r2, r3, r12}
  .irp sum, \sums
  and r0, r12, \sum, asr #31
  sub r0, r3, r0
  smmla \sum, \sum, r2, r0
  ssat \sum, #8, \sum, asr #\shift
  .endr
  .endm

  .balign 4
  .global kg_gemm2x4_s8
  .type kg_gemm2x4_s8, %function
kg_gemm2x4_s8:
  push {r4-r11, lr}
  sub sp, #FRAME
  ldm r3, {r4-r9} /* pairs, bytes, y_stride, form, resume, sums */
  add r5, r1
  strd r2, r6, [sp, #Y]
  add r10, r0, r4, lsl #4
  strd r0, r5, [sp, #INPUTS]
  str r5, [sp, #WHOLE]
  str r9, [sp, #SUMS]
  adr r11, .Lforms
  ldr r12, [r11, r7, lsl #2]
  add r12, r11
  cmp r8, #0
  bne 7f
  /* all but the first pair, in whole rounds after what is left */
  subs r4, #2
  adr r11, .Ldone + 1
  b 8f
7: /* a group at a time, each from its own sums */
  lsl r5, r4, #2
  cmp r7, #KEEP
  ite ne
  addne r5, #24
  ldreq r12, [r11, #(4 * KEEP + 4)]
  it eq
  addeq r12, r11
  str r5, [sp, #GROUP]
  str r1, [sp, #LIMIT]
  subs r4, #1
  adr r11, .Lagain + 1
8:
  strd r12, r11, [sp, #FINISH]
  and r4, #(UNROLLED - 1)
  rsb r4, r4, #(UNROLLED - 1) /* pairs to leave out */
  mov r5, #PAIR_BYTES
  adr r6, .Lpairs + 1
  mla r4, r4, r5, r6
  strd r4, r10, [sp, #ENTRY]
  cmp r8, #0
  bne .Lresume
  b .Lgroup

  .balign 4
.Lforms:
  .word .Lsigned - .Lforms + 1
  .word .Lrectified - .Lforms + 1
  .word .Lsigned_14 - .Lforms + 1
  .word .Lrectified_11 - .Lforms + 1
  .word .Lrectified_12 - .Lforms + 1
  .word .Lrectified_13 - .Lforms + 1
  .word .Lrectified_14 - .Lforms + 1
  .word .Lrectified_15 - .Lforms + 1
  .word .Lkeep - .Lforms + 1
  .word .Lkeep_again - .Lforms + 1

.Lresume:
  ldrd r2, r3, [sp, #LIMIT]
  ldr r12, [sp, #SUMS]
  add r2, r3
  ldm r12!, {r4-r11}
  str r2, [sp, #LIMIT]
  str r12, [sp, #SUMS]
  ldr pc, [sp, #ENTRY]

  .balign 4
.Lgroup:
  ldrd r4, r8, [r1], #8
  FIRST_2X4
  ldr pc, [sp, #ENTRY]
  .balign 4
.Lpairs:
  .rept UNROLLED
  PAIR_2X4
  .endr
.Lpairs_end:
  .if .Lpairs_end - .Lpairs - UNROLLED * PAIR_BYTES
  .error "a pair has not the size that entries are computed with"
  .endif
  ldr r2, [sp, #END]
  cmp r0, r2
  bne .Lpairs
  ldr pc, [sp, #FINISH]

  .irp shift, 11, 12, 13, 14, 15
  .balign 4
.Lrectified_\shift:
  RECTIFIED_BY \shift, r4, r5, r6, r7
  RECTIFIED_BY \shift, r8, r9, r10, r11
  b .Lstore
  .endr
  .balign 4
.Lsigned_14:
  SIGNED_BY 14, r4, r5, r6, r7
  SIGNED_BY 14, r8, r9, r10, r11
  b .Lstore
  .balign 4
.Lsigned:
  SIGNED r4, r5, r6, r7
  SIGNED r8, r9, r10, r11
  b .Lstore
  .balign 4
.Lkeep:
  ldr r12, [sp, #SUMS]
  stm r12!, {r4-r11}
  str r12, [sp, #SUMS]
  b .Lnext
  .balign 4
.Lkeep_again:
  ldr r12, [sp, #SUMS]
  stmdb r12, {r4-r11}
  b .Lnext
  .balign 4
.Lrectified:
  RECTIFIED r4, r5, r6, r7
  RECTIFIED r8, r9, r10, r11
.Lstore:
  ldrd r0, r12, [sp, #Y]
  add r2, r0, r12, lsl #1
  strb r5, [r0, r12]
  strb r7, [r2, r12]
  strb r4, [r0], #1
  strb r6, [r2], #1
  strb r9, [r0, r12]
  strb r11, [r2, r12]
  strb r10, [r2]
  strb r8, [r0], #1
  str r0, [sp, #Y]
.Lnext:
  ldrd r0, r3, [sp, #INPUTS]
  cmp r1, r3
  bne .Lgroup
  ldr pc, [sp, #DONE]
  .balign 4
.Lagain:
  ldr r3, [sp, #WHOLE]
  cmp r1, r3
  bne .Lresume
.Ldone:
  add sp, #FRAME
  pop {r4-r11, pc}
  .size kg_gemm2x4_s8, . - kg_gemm2x4_s8

/* r2 y, r4 inputs, r5 end of the stream, r6 end of the inputs, r7 form; r8, r9 the sums */
  .equ ONE_UNROLLED, 4
  .equ FOUR_BYTES, 40
  .macro FOUR_2X1
  ldrd r10, r11, [r0], #8
  ldrd r12, lr, [r1], #8
  sxtb16 r3, r12
  sxtb16 r12, r12, ror #8
  smlad r8, r10, r3, r8
  smlad r9, r10, r12, r9
  sxtb16 r3, lr
  sxtb16 lr, lr, ror #8
  smlad r8, r11, r3, r8
  smlad r9, r11, lr, r9
  .endm

  .balign 4
  .global kg_gemm2x1_s8
  .type kg_gemm2x1_s8, %function
kg_gemm2x1_s8:
  push {r3-r11, lr}
  ldm r3, {r8, r9, r10, r11} /* pairs, bytes, y_stride, form */
  mov r4, r0
  add r5, r1, r9
  add r6, r0, r8, lsl #2
  mov r7, r11
  lsr r8, #1
  subs r8, #1
  and r8, #(ONE_UNROLLED - 1)
  rsb r8, r8, #(ONE_UNROLLED - 1)
  mov r9, #FOUR_BYTES
  mul r8, r9
  adr r9, 2f + 1
  add r8, r9
  str r8, [sp]
1:
  ldrd r8, r9, [r1], #8
  mov r0, r4
  ldr pc, [sp]
  .balign 4
2:
  .rept ONE_UNROLLED
  FOUR_2X1
  .endr
3:
  .if 3b - 2b - ONE_UNROLLED * FOUR_BYTES
  .error "four inputs have not the size that entries are computed with"
  .endif
  cmp r0, r6
  bne 2b
  cmp r7, #1
  blo 5f
  cmp r7, #2
  beq 6f
  .irp sum, r8, r9
  ldm r1!, {r10, r11, r12}
  smmla \sum, \sum, r10, r11
  asr \sum, \sum, r12
  ssat \sum, #8, \sum
  .endr
4:
  strb r9, [r2, #1]
  strb r8, [r2], #2
  cmp r1, r5
  bne 1b
  pop {r3-r11, pc}
5:
  .irp sum, r8, r9
  ldm r1!, {r10, r11, r12}
  lsr lr, r12, #8
  and r0, lr, \sum, asr #31
  sub r0, r11, r0
  smmla \sum, \sum, r10, r0
  asr \sum, \sum, r12
  ssat \sum, #8, \sum
  .endr
  b 4b
6:
  .irp sum, r8, r9
  ldm r1!, {r10, r11, r12}
  and r0, r12, \sum, asr #31
  sub r0, r11, r0
  smmla \sum, \sum, r10, r0
  ssat \sum, #8, \sum, asr #14
  .endr
  b 4b
  .size kg_gemm2x1_s8, . - kg_gemm2x1_s8

/* r0 where to, r1 the pointers, r2 the rows; lr the mask, r3-r6 the pixels */
  .balign 4
  .global kg_expand4_s8
  .type kg_expand4_s8, %function
kg_expand4_s8:
  push {r4-r11, lr}
  sub sp, #12
  ldm r1, {r3-r6}
  ldm r2, {r7, r8, r9} /* rows, fours, step */
  sub r9, r9, r8, lsl #2
  strd r7, r8, [sp]
  str r9, [sp, #8]
  mov lr, #0xFF00FF00
1:
  ldr r2, [sp, #4]
2:
  ldr r7, [r3], #4
  ldr r8, [r4], #4
  ldr r9, [r5], #4
  ldr r10, [r6], #4
  and r1, lr, r7, lsl #8
  and r11, lr, r8, lsl #8
  strd r1, r11, [r0], #8
  and r11, lr, r9, lsl #8
  and r12, lr, r10, lsl #8
  strd r11, r12, [r0], #8
  and r7, lr, r7
  and r8, lr, r8
  and r9, lr, r9
  and r10, lr, r10
  stm r0!, {r7-r10}
  subs r2, #1
  bne 2b
  ldr r2, [sp, #8]
  ldr r1, [sp]
  add r3, r2
  add r4, r2
  add r5, r2
  add r6, r2
  subs r1, #1
  str r1, [sp]
  bne 1b
  add sp, #12
  pop {r4-r11, pc}
  .size kg_expand4_s8, . - kg_expand4_s8

  .balign 4
  .global kg_expand1_s8
  .type kg_expand1_s8, %function
kg_expand1_s8:
  push {r4-r7, lr}
  ldr r1, [r1]
  ldm r2, {r3, r4, r5} /* rows, fours, step */
  sub r5, r5, r4, lsl #2
  mov lr, #0xFF00FF00
1:
  mov r2, r4
2:
  ldr r7, [r1], #4
  and r6, lr, r7, lsl #8
  and r7, lr, r7
  strd r6, r7, [r0], #8
  subs r2, #1
  bne 2b
  add r1, r5
  subs r3, #1
  bne 1b
  pop {r4-r7, pc}
  .size kg_expand1_s8, . - kg_expand1_s8
#endif
