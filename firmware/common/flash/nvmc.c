/* Flash controller of the nRF5 chips: writes go to the address, once the controller is told; words only. */
#include "board.h"

#define REG(offset) (*(volatile uint32_t *)(uintptr_t)(KG_NVMC_BASE + (offset)))

enum { READY = 0x400, CONFIG = 0x504, ERASE_PAGE = 0x508, READ_ONLY = 0, WRITE = 1, ERASE = 2, OUT_OF_RANGE = 1, UNALIGNED = 2 };

#define AREA_BYTES ((uint32_t)KG_STORE_SECTOR_BYTES * (uint32_t)(KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS))

static int32_t inside(uint32_t offset, uint32_t bytes) { return offset <= AREA_BYTES && bytes <= AREA_BYTES - offset; }

static void mode(uint32_t value) {
  REG(CONFIG) = value;
  while (REG(READY) == 0) {
  }
}

static int32_t read_bytes(void *context, uint32_t offset, void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return OUT_OF_RANGE;
  const volatile uint8_t *from = (const volatile uint8_t *)(uintptr_t)(KG_STORE_ORIGIN + offset);
  for (uint32_t i = 0; i < bytes; ++i) ((uint8_t *)data)[i] = from[i];
  return 0;
}

static int32_t program(void *context, uint32_t offset, const void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return OUT_OF_RANGE;
  if (offset % 4u || bytes % 4u) return UNALIGNED;
  const uint8_t *p = data;
  mode(WRITE);
  for (uint32_t i = 0; i < bytes; i += 4) {
    const uint32_t word = (uint32_t)p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 | (uint32_t)p[i + 3] << 24;
    *(volatile uint32_t *)(uintptr_t)(KG_STORE_ORIGIN + offset + i) = word;
    while (REG(READY) == 0) {
    }
  }
  mode(READ_ONLY);
  return 0;
}

static int32_t erase(void *context, uint32_t sector) {
  (void)context;
  if (sector >= KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS) return OUT_OF_RANGE;
  mode(ERASE);
  REG(ERASE_PAGE) = KG_STORE_ORIGIN + sector * KG_STORE_SECTOR_BYTES;
  while (REG(READY) == 0) {
  }
  mode(READ_ONLY);
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
