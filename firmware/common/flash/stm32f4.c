/* Flash of STM32F4 and STM32F7 (RM0390 section 3, RM0385 section 3), programmed by 32-bit words: supply of 2.7 V or more.
 * Code in the same bank stands still while a sector is erased: 1 to 2 s for 128 KB, twice that for 256 KB. */
#include "board.h"

typedef struct flash_controller {
  volatile uint32_t access, key, option_key, status, control;
} flash_controller;

#define FLASH ((flash_controller *)(uintptr_t)0x40023C00u)
#define AREA ((volatile uint32_t *)(uintptr_t)KG_STORE_ORIGIN)
#define SECTORS ((uint32_t)(KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS))
#define AREA_BYTES ((uint32_t)KG_STORE_SECTOR_BYTES * SECTORS)

enum { OUT_OF_RANGE = 1, UNALIGNED, REFUSED };
enum { PROGRAM = 1 << 0, ERASE_SECTOR = 1 << 1, WORDS = 2 << 8, START = 1 << 16, BUSY = 1 << 16, ERRORS = 0xF2 };

static int32_t inside(uint32_t offset, uint32_t bytes) { return offset <= AREA_BYTES && bytes <= AREA_BYTES - offset; }

static void unlock(void) {
  if (FLASH->control >> 31) {
    FLASH->key = 0x45670123u;
    FLASH->key = 0xCDEF89ABu;
  }
  FLASH->status = (uint32_t)ERRORS; /* written ones clear what an earlier operation left */
}

static int32_t done(void) {
  __asm__ volatile("dsb" ::: "memory");
  while (FLASH->status & (uint32_t)BUSY) {
  }
  return FLASH->status & (uint32_t)ERRORS ? REFUSED : 0;
}

/* Lock; and forget what the controller's own caches hold (they may be cleared only while they are off). */
static void finish(void) {
  FLASH->control = 1u << 31;
  if (KG_FLASH_CACHE_ENABLE != 0u) {
    FLASH->access &= ~KG_FLASH_CACHE_ENABLE;
    FLASH->access |= KG_FLASH_CACHE_RESET;
    FLASH->access &= ~KG_FLASH_CACHE_RESET;
    FLASH->access |= KG_FLASH_CACHE_ENABLE;
  }
  __asm__ volatile("dsb\n isb" ::: "memory");
}

static int32_t read_bytes(void *context, uint32_t offset, void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return OUT_OF_RANGE;
  const volatile uint8_t *from = (const volatile uint8_t *)AREA + offset;
  for (uint32_t i = 0; i < bytes; ++i) ((uint8_t *)data)[i] = from[i];
  return 0;
}

static int32_t program(void *context, uint32_t offset, const void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return OUT_OF_RANGE;
  if (offset % 4u || bytes % 4u) return UNALIGNED;
  const uint32_t *words = data; /* aligned, as flash.h says */
  int32_t error = 0;
  unlock();
  FLASH->control = (uint32_t)WORDS | (uint32_t)PROGRAM;
  for (uint32_t i = 0; i < bytes / 4u && error == 0; ++i) {
    AREA[offset / 4u + i] = words[i];
    error = done();
  }
  finish();
  return error;
}

static int32_t erase(void *context, uint32_t sector) {
  (void)context;
  if (sector >= SECTORS) return OUT_OF_RANGE;
  unlock();
  FLASH->control = (uint32_t)WORDS | (KG_FLASH_FIRST_SECTOR + sector) << 3 | (uint32_t)ERASE_SECTOR;
  FLASH->control |= (uint32_t)START;
  const int32_t error = done();
  finish();
  return error;
}

void kg_board_flash(kg_flash *flash) {
  flash->context = 0;
  flash->sector_bytes = KG_STORE_SECTOR_BYTES;
  flash->sectors = SECTORS;
  flash->program_bytes = KG_STORE_PROGRAM_BYTES;
  flash->read = read_bytes;
  flash->program = program;
  flash->erase = erase;
}
