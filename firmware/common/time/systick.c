/* SysTick: 24 bits, counting down at the core's clock; its interrupt counts the wraps. That costs a few instructions every 16.7 million
 * ticks, so counts over longer stretches are not exact. */
#include "board.h"

typedef struct systick {
  volatile uint32_t control, reload, value;
} systick;

#define SYSTICK ((systick *)0xE000E010u)

enum { ENABLE = 1, INTERRUPT = 2, CORE_CLOCK = 4, BITS = 24 };

static volatile uint32_t wraps;

void kg_tick_handler(void);
void kg_tick_handler(void) { ++wraps; }

void kg_ticks_init(void) {
  SYSTICK->reload = (1u << BITS) - 1u;
  SYSTICK->value = 0;
  SYSTICK->control = CORE_CLOCK | INTERRUPT | ENABLE;
}

uint32_t kg_ticks(void) {
  uint32_t before, low;
  do { /* again, when the wrap came in between */
    before = wraps;
    low = ((1u << BITS) - 1u - SYSTICK->value) & ((1u << BITS) - 1u);
  } while (before != wraps);
  return before << BITS | low;
}
