/* Clamp masks: one bit an element, element i in bit i % 8 of byte i / 8, unused bits of the last byte 0. */
#ifndef KG_COMMON_BITS_H
#define KG_COMMON_BITS_H

#include <stddef.h>
#include <stdint.h>

/* Writes bits one after another; a writer over NULL does nothing. */
typedef struct kg_bit_writer {
  uint8_t *byte;
  uint32_t value;
  uint32_t count;
} kg_bit_writer;

static inline kg_bit_writer kg_bits_begin(uint8_t *bytes) {
  kg_bit_writer w = {bytes, 0, 0};
  return w;
}

static inline void kg_bits_put(kg_bit_writer *w, int32_t bit) {
  if (w->byte == NULL) return;
  w->value |= (uint32_t)(bit != 0) << w->count;
  if (++w->count == 8) {
    *w->byte++ = (uint8_t)w->value;
    w->value = 0;
    w->count = 0;
  }
}

static inline void kg_bits_end(kg_bit_writer *w) {
  if (w->byte != NULL && w->count > 0) *w->byte = (uint8_t)w->value;
}

/* Bits 0..count-1 become 0. */
static inline void kg_bits_clear(uint8_t *bytes, int32_t count) {
  for (int32_t i = 0; i < count; i += 8) bytes[i / 8] = 0;
}

static inline void kg_bits_set(uint8_t *bytes, int32_t index) {
  bytes[(uint32_t)index >> 3] = (uint8_t)(bytes[(uint32_t)index >> 3] | 1u << ((uint32_t)index & 7u));
}

static inline int32_t kg_bits_get(const uint8_t *bytes, int32_t index) {
  return (bytes[(uint32_t)index >> 3] >> ((uint32_t)index & 7u)) & 1;
}

#endif
