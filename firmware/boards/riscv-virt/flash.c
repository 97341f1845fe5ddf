/* Flash of QEMU's "virt": two 16-bit chips side by side that know Intel's command set (CFI 0001h). A command goes to both at once, and both
 * must say that they are ready. Between commands they are memory. */
#include "board.h"

#define AREA ((volatile uint32_t *)(uintptr_t)KG_STORE_ORIGIN)
#define SECTORS ((uint32_t)(KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS))
#define AREA_BYTES ((uint32_t)KG_STORE_SECTOR_BYTES * SECTORS)
#define BOTH(command) ((uint32_t)(command) << 16 | (uint32_t)(command))

enum { OUT_OF_RANGE = 1, UNALIGNED, REFUSED };
enum { ERASE = 0x20, PROGRAM = 0x40, CLEAR_STATUS = 0x50, CONFIRM = 0xD0, AS_MEMORY = 0xFF };
enum { READY = 0x80, ERRORS = 0x3A }; /* erase, program, voltage, protected */

static int32_t inside(uint32_t offset, uint32_t bytes) { return offset <= AREA_BYTES && bytes <= AREA_BYTES - offset; }

static int32_t done(volatile uint32_t *at) {
  uint32_t status;
  do status = *at;
  while ((status & BOTH(READY)) != BOTH(READY));
  return status & BOTH(ERRORS) ? REFUSED : 0;
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
  *AREA = BOTH(CLEAR_STATUS);
  for (uint32_t i = 0; i < bytes / 4u && error == 0; ++i) {
    volatile uint32_t *const at = AREA + offset / 4u + i;
    *at = BOTH(PROGRAM);
    *at = words[i];
    error = done(at);
  }
  *AREA = BOTH(AS_MEMORY);
  return error;
}

static int32_t erase(void *context, uint32_t sector) {
  (void)context;
  if (sector >= SECTORS) return OUT_OF_RANGE;
  volatile uint32_t *const at = AREA + sector * (KG_STORE_SECTOR_BYTES / 4u);
  *at = BOTH(CLEAR_STATUS);
  *at = BOTH(ERASE);
  *at = BOTH(CONFIRM);
  const int32_t error = done(at);
  *at = BOTH(AS_MEMORY);
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
