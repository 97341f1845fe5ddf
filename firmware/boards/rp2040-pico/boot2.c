/* Second boot stage: the first 256 bytes of flash. The boot ROM copies it to RAM, checks its CRC (which the build puts into the last four
 * bytes) and calls it; it makes the flash readable as memory and starts the program behind it (RP2040 datasheet, 2.8.1.2 and 2.8.1.3).
 * It runs at an address that the linker does not know: no calls, and constants only from its own pool. */
#include "ssi.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

_Static_assert(SSI_SPI_CTRLR0 < 256, "the offset stands in an 8-bit immediate");

void kg_boot2(void);

__attribute__((section(".boot2"), naked, used, noinline)) void kg_boot2(void) {
  __asm__ volatile(
      ".syntax unified\n"
      "ldr r3, =" TEXT(
          SSI_BASE) "\n"
                    "movs r0, #0\n"
                    "str r0, [r3, #" TEXT(
                        SSI_SSIENR) "]\n" /* off while it is set up */
                                    "str r0, [r3, #" TEXT(
                                        SSI_CTRLR1) "]\n" /* one frame an access */
                                                    "movs r1, #" TEXT(
                                                        SSI_DIVIDER) "\n"
                                                                     "str r1, [r3, #" TEXT(
                                                                         SSI_BAUDR) "]\n"
                                                                                    "ldr r1, =" TEXT(
                                                                                        SSI_FRAMES_32_READ) "\n"
                                                                                                            "str r1, [r3, #" TEXT(
                                                                                                                SSI_CTRLR0) "]\n"
                                                                                                                            "movs"
                                                                                                                            " r2,"
                                                                                                                            " "
                                                                                                                            "#" TEXT(
                                                                                                                                SSI_SPI_CTRLR0) "\n"
                                                                                                                                                "ldr r1, =" TEXT(
                                                                                                                                                    SSI_READ_03_ADDRESS_24) "\n"
                                                                                                                                                                            "str r1, [r3, r2]\n"
                                                                                                                                                                            "movs r1, #1\n"
                                                                                                                                                                            "str r1, [r3, #" TEXT(
                                                                                                                                                                                SSI_SSIENR) "]\n"
                                                                                                                                                                                            "ldr r0, =0x10000100\n" /* the vector table follows */
                                                                                                                                                                                            "ldr r1, =0xE000ED08\n" /* VTOR */
                                                                                                                                                                                            "str r0, [r1]\n"
                                                                                                                                                                                            "ldr r1, [r0]\n"
                                                                                                                                                                                            "ldr r0, [r0, #4]\n"
                                                                                                                                                                                            "mov sp, r1\n"
                                                                                                                                                                                            "bx r0\n"
                                                                                                                                                                                            ".ltorg\n");
}
