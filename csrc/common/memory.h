/* Memory as kernels see it: three segments that the caller owns, and 32-bit references into them.
 *
 * An argument struct holds no pointers. A reference has its segment in the two top bits and a byte offset in the
 * other thirty, so that the same bytes stand in a plan file, in emitted C and on any host. Every field of every argument struct is
 * an int32_t, a uint32_t or a kg_ref: no padding, no surprises. */
#ifndef KG_COMMON_MEMORY_H
#define KG_COMMON_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t kg_ref;

enum { KG_SEG_NONE = 0, KG_SEG_CONST = 1, KG_SEG_STATE = 2, KG_SEG_ARENA = 3 };

#define KG_REF_OFFSET_BITS 30
#define KG_REF_NONE ((kg_ref)0)
#define KG_REF(segment, offset) (((kg_ref)(segment) << KG_REF_OFFSET_BITS) | (kg_ref)(offset))

/* The three segments. Each base is aligned to at least 16 bytes. */
typedef struct kg_memory {
  const uint8_t *constant; /* read-only: weights, tables */
  uint8_t *state;          /* persistent: learned weights, exponents, counters */
  uint8_t *arena;          /* scratch of one step: activations, errors, buffers */
} kg_memory;

static inline uint32_t kg_ref_segment(kg_ref ref) { return ref >> KG_REF_OFFSET_BITS; }
static inline uint32_t kg_ref_offset(kg_ref ref) { return ref & ((1u << KG_REF_OFFSET_BITS) - 1u); }

/* Address of an operand that is read. KG_REF_NONE gives NULL. */
static inline const void *kg_in(const kg_memory *mem, kg_ref ref) {
  switch (kg_ref_segment(ref)) {
  case KG_SEG_CONST: return mem->constant + kg_ref_offset(ref);
  case KG_SEG_STATE: return mem->state + kg_ref_offset(ref);
  case KG_SEG_ARENA: return mem->arena + kg_ref_offset(ref);
  default: return NULL;
  }
}

/* Address of an operand that is written: state or arena, else NULL. */
static inline void *kg_out(const kg_memory *mem, kg_ref ref) {
  switch (kg_ref_segment(ref)) {
  case KG_SEG_STATE: return mem->state + kg_ref_offset(ref);
  case KG_SEG_ARENA: return mem->arena + kg_ref_offset(ref);
  default: return NULL;
  }
}

#endif
