#include "memory.h"

/* Sections of their own: start-up need not clear them, and reports can tell them from the program's own variables. The linker sorts
 * them by name; the arena, whose size is a multiple of the alignment, comes first, so that nothing is lost between them. */
#if KG_STATE_BYTES > 0
__attribute__((section(".kg_memory.1_state"), aligned(16))) uint8_t kg_app_state[KG_STATE_BYTES];
#endif
__attribute__((section(".kg_memory.0_arena"), aligned(16))) uint8_t kg_app_arena[KG_ARENA_BYTES];
#if KG_SNAPSHOT_BYTES > 0
__attribute__((section(".kg_memory.2_snapshot"), aligned(16))) uint8_t kg_app_snapshot[KG_SNAPSHOT_BYTES];
#endif
