/* RAM that behaves as NOR flash: erasing gives ones, programming clears bits. For emulators, which have no flash that can be written. */
#include "board.h"

enum { KG_FLASH_OUT_OF_RANGE = 1, KG_FLASH_UNALIGNED };

#define WINDOW ((volatile uint32_t *)(uintptr_t)KG_STORE_ORIGIN)
#define WINDOW_BYTES ((uint32_t)KG_STORE_SECTOR_BYTES * (uint32_t)(KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS))

static int32_t inside(uint32_t offset, uint32_t bytes) { return offset <= WINDOW_BYTES && bytes <= WINDOW_BYTES - offset; }

static int32_t read_bytes(void *context, uint32_t offset, void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return KG_FLASH_OUT_OF_RANGE;
  const volatile uint8_t *from = (const volatile uint8_t *)WINDOW + offset;
  for (uint32_t i = 0; i < bytes; ++i) ((uint8_t *)data)[i] = from[i];
  return 0;
}

/* One store a word, as the hardware does: a power cut falls between words. */
static int32_t program(void *context, uint32_t offset, const void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return KG_FLASH_OUT_OF_RANGE;
  if (offset % 4u || bytes % 4u) return KG_FLASH_UNALIGNED;
  const uint8_t *p = data;
  for (uint32_t i = 0; i < bytes; i += 4) {
    const uint32_t word = (uint32_t)p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 | (uint32_t)p[i + 3] << 24;
    WINDOW[(offset + i) / 4u] &= word;
  }
  return 0;
}

static int32_t erase(void *context, uint32_t sector) {
  (void)context;
  if (sector >= KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS) return KG_FLASH_OUT_OF_RANGE;
  const uint32_t first = sector * (KG_STORE_SECTOR_BYTES / 4u);
  for (uint32_t i = 0; i < KG_STORE_SECTOR_BYTES / 4u; ++i) WINDOW[first + i] = 0xFFFFFFFFu;
  return 0;
}

void kg_board_flash(kg_flash *flash) {
  flash->context = 0;
  flash->sector_bytes = KG_STORE_SECTOR_BYTES;
  flash->sectors = KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS;
  flash->program_bytes = KG_STORE_PROGRAM_BYTES;
  flash->read = read_bytes;
  flash->program = program;
  flash->erase = erase;
}
