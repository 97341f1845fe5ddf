#include "memory.h"

/* A section of its own: start-up need not clear it, and reports can tell it from the program's own variables. */
#if KG_STATE_BYTES > 0
__attribute__((section(".kg_memory"), aligned(16))) uint8_t kg_app_state[KG_STATE_BYTES];
#endif
__attribute__((section(".kg_memory"), aligned(16))) uint8_t kg_app_arena[KG_ARENA_BYTES];
#if KG_SNAPSHOT_BYTES > 0
__attribute__((section(".kg_memory"), aligned(16))) uint8_t kg_app_snapshot[KG_SNAPSHOT_BYTES];
#endif
