/* Semihosting: the emulator (or a debugger) ends with a code. */
#include "board.h"

_Noreturn void kg_board_exit(int32_t code) {
  uint32_t block[2] = {0x20026u, (uint32_t)code};   /* ADP_Stopped_ApplicationExit */
  register uint32_t operation __asm__("r0") = 0x20; /* SYS_EXIT_EXTENDED */
  register uint32_t *argument __asm__("r1") = block;
  __asm__ volatile("bkpt 0xAB" : "+r"(operation) : "r"(argument) : "memory");
  for (;;) __asm__ volatile("wfi");
}
