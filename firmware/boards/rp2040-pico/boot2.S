/* Second boot stage: the first 256 bytes of flash. The boot ROM copies it to RAM, checks its CRC (which the build puts into the last four
 * bytes) and calls it; it makes the flash readable as memory and starts the program behind it (RP2040 datasheet, 2.8.1.2 and 2.8.1.3).
 * It runs at an address that the linker does not know: no calls, and constants only from its own pool. */
#include "ssi.h"

  .syntax unified
  .cpu cortex-m0plus
  .thumb
  .section .boot2, "ax"
  .global kg_boot2
  .type kg_boot2, %function
kg_boot2:
  ldr r3, =SSI_BASE
  movs r0, #0
  str r0, [r3, #SSI_SSIENR] /* off while it is set up */
  str r0, [r3, #SSI_CTRLR1] /* one frame an access */
  movs r1, #SSI_DIVIDER
  str r1, [r3, #SSI_BAUDR]
  ldr r1, =SSI_FRAMES_32_READ
  str r1, [r3, #SSI_CTRLR0]
  movs r2, #SSI_SPI_CTRLR0
  ldr r1, =SSI_READ_03_ADDRESS_24
  str r1, [r3, r2]
  movs r1, #1
  str r1, [r3, #SSI_SSIENR]
  ldr r0, =0x10000100 /* the vector table follows */
  ldr r1, =0xE000ED08 /* VTOR */
  str r0, [r1]
  ldr r1, [r0]
  ldr r0, [r0, #4]
  mov sp, r1
  bx r0
  .ltorg
