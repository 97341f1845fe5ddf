/* TIMER0 of the nRF51: 32 bits at 16 MHz. The Cortex-M0 in there has no SysTick. */
#include "board.h"

#define REG(offset) (*(volatile uint32_t *)(uintptr_t)(KG_TIMER_BASE + (offset)))

enum { START = 0x000, CAPTURE_0 = 0x040, MODE = 0x504, BIT_MODE = 0x508, PRESCALER = 0x510, CC_0 = 0x540, BITS_32 = 3 };

void kg_ticks_init(void) {
  REG(MODE) = 0;
  REG(BIT_MODE) = BITS_32;
  REG(PRESCALER) = 0;
  REG(START) = 1;
}

uint32_t kg_ticks(void) {
  REG(CAPTURE_0) = 1;
  return REG(CC_0);
}
