/* Arm CMSDK APB timer: 32 bits, counting down at the core's clock. */
#include "board.h"

typedef struct cmsdk_timer {
  volatile uint32_t control, value, reload, interrupt;
} cmsdk_timer;

#define TIMER ((cmsdk_timer *)(uintptr_t)KG_TIMER_BASE)

void kg_ticks_init(void) {
  TIMER->reload = 0xFFFFFFFFu;
  TIMER->value = 0xFFFFFFFFu;
  TIMER->control = 1;
}

uint32_t kg_ticks(void) { return ~TIMER->value; }
