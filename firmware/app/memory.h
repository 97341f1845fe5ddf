/* The memory that a plan works in, sized when the firmware is built, and the plan that is built in. */
#ifndef KG_APP_MEMORY_H
#define KG_APP_MEMORY_H

#include <stdint.h>

#include "kg_config.h"

extern const uint8_t kg_embedded_plan[];
extern const uint8_t kg_embedded_plan_end[];
#if KG_STATE_BYTES > 0
extern uint8_t kg_app_state[KG_STATE_BYTES];
#else
#define kg_app_state ((uint8_t *)0) /* a plan that only infers keeps nothing */
#endif
#if KG_SNAPSHOT_BYTES > 0
extern uint8_t kg_app_snapshot[KG_SNAPSHOT_BYTES]; /* the state that is being saved, while training changes its own */
#endif
extern uint8_t kg_app_arena[KG_ARENA_BYTES];

static inline uint32_t kg_embedded_plan_bytes(void) {
  return (uint32_t)((uintptr_t)kg_embedded_plan_end - (uintptr_t)kg_embedded_plan);
}

#endif
