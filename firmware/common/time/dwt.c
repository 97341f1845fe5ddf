/* Cycle counter of ARMv7-M and ARMv8-M cores with a DWT (ARMv7-M architecture manual, C1.8): cycles of the core's clock, for nothing.
 * QEMU does not model it: hardware only. */
#include "board.h"

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define DEMCR REG(0xE000EDFC)
#define DWT_CTRL REG(0xE0001000)
#define DWT_CYCCNT REG(0xE0001004)
#define DWT_LAR REG(0xE0001FB0)

enum { TRACE_ENABLE = 1 << 24, COUNT_ENABLE = 1 };

void kg_ticks_init(void) {
  DEMCR |= (uint32_t)TRACE_ENABLE;
  DWT_LAR = 0xC5ACCE55u; /* Cortex-M7 locks it after reset; others ignore this */
  DWT_CYCCNT = 0;
  DWT_CTRL |= (uint32_t)COUNT_ENABLE;
}

uint32_t kg_ticks(void) { return DWT_CYCCNT; }
