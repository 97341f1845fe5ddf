/* One kernel by itself, for tests: C11 behind a header that C++ reads. */
#ifndef KG_BINDINGS_KERNEL_CALL_H
#define KG_BINDINGS_KERNEL_CALL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kgpy_segments {
  const uint8_t *constant;
  uint8_t *state, *arena;
  uint32_t const_bytes, state_bytes, arena_bytes;
} kgpy_segments;

/* Kernel at `index`: name, id and size of its arguments; 0 past the end. */
int32_t kgpy_kernel(uint32_t index, const char **name, uint32_t *id, uint32_t *args_bytes);
/* Check, then run; 0 when the check says no. */
int32_t kgpy_call(uint32_t index, const uint32_t *args, const kgpy_segments *segments);

#ifdef __cplusplus
}
#endif

#endif
