/* The serial flash, through the functions of the boot ROM (RP2040 datasheet, 2.8.3). While they work the flash cannot be read as memory, so
 * what calls them runs from RAM. Nothing else may run meanwhile: there are no interrupts here, and the second core sleeps. */
#include "board.h"
#include "ssi.h"

#define SSI(offset) (*(volatile uint32_t *)(uintptr_t)(SSI_BASE + (offset)))
#define FLASH_START 0x10000000u
#define FIRST ((uint32_t)KG_STORE_ORIGIN - FLASH_START) /* the ROM counts from the start of the flash */
#define SECTORS ((uint32_t)(KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS))
#define AREA_BYTES ((uint32_t)KG_STORE_SECTOR_BYTES * SECTORS)

enum { OUT_OF_RANGE = 1, UNALIGNED };
enum { PAGE = 256, LARGE_BLOCK = 1 << 16, LARGE_BLOCK_COMMAND = 0xD8 };

typedef void *(*rom_lookup)(const uint16_t *table, uint32_t code);
typedef void (*rom_plain)(void);
typedef void (*rom_erase)(uint32_t offset, uint32_t bytes, uint32_t block, uint32_t command);
typedef void (*rom_program)(uint32_t offset, const uint8_t *data, uint32_t bytes);

typedef struct rom {
  rom_plain connect, exit_xip, flush;
  rom_erase erase;
  rom_program program;
} rom;

/* Half-word pointers stand at fixed places of the ROM (2.8.3): 0x14 the table of functions, 0x18 the function that looks in it. The
 * addresses are hidden from the compiler, which takes what lies so low for null. */
static uintptr_t rom_half(uintptr_t address) {
  __asm__("" : "+r"(address));
  return *(const volatile uint16_t *)address;
}

static rom find_rom(void) {
  const rom_lookup lookup = (rom_lookup)rom_half(0x18);
  const uint16_t *const table = (const uint16_t *)rom_half(0x14);
#define CODE(a, b) ((uint32_t)(a) | (uint32_t)(b) << 8)
  const rom found = {
      (rom_plain)lookup(table, CODE('I', 'F')),   (rom_plain)lookup(table, CODE('E', 'X')),
      (rom_plain)lookup(table, CODE('F', 'C')),   (rom_erase)lookup(table, CODE('R', 'E')),
      (rom_program)lookup(table, CODE('R', 'P')),
  };
  return found;
}

/* Erase a sector where `data` is null, else program. The linker puts a veneer before the call, which is too far for a branch. */
__attribute__((section(".ram_code"), noinline)) static void change(const rom *r, uint32_t offset, const uint8_t *data,
                                                                   uint32_t bytes) {
  r->connect();
  r->exit_xip();
  if (data) {
    r->program(offset, data, bytes);
  } else {
    r->erase(offset, bytes, LARGE_BLOCK, LARGE_BLOCK_COMMAND);
  }
  r->flush();
  SSI(SSI_SSIENR) = 0; /* as the second boot stage had it */
  SSI(SSI_CTRLR1) = 0;
  SSI(SSI_BAUDR) = SSI_DIVIDER;
  SSI(SSI_CTRLR0) = SSI_FRAMES_32_READ;
  SSI(SSI_SPI_CTRLR0) = SSI_READ_03_ADDRESS_24;
  SSI(SSI_SSIENR) = 1;
}

static int32_t inside(uint32_t offset, uint32_t bytes) { return offset <= AREA_BYTES && bytes <= AREA_BYTES - offset; }

static int32_t read_bytes(void *context, uint32_t offset, void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return OUT_OF_RANGE;
  const volatile uint8_t *from = (const volatile uint8_t *)(uintptr_t)(KG_STORE_ORIGIN + offset);
  for (uint32_t i = 0; i < bytes; ++i) ((uint8_t *)data)[i] = from[i];
  return 0;
}

/* `data` lies in RAM, as flash.h says. */
static int32_t program(void *context, uint32_t offset, const void *data, uint32_t bytes) {
  (void)context;
  if (!inside(offset, bytes)) return OUT_OF_RANGE;
  if (offset % PAGE || bytes % PAGE) return UNALIGNED;
  const rom r = find_rom();
  change(&r, FIRST + offset, data, bytes);
  return 0;
}

static int32_t erase(void *context, uint32_t sector) {
  (void)context;
  if (sector >= SECTORS) return OUT_OF_RANGE;
  const rom r = find_rom();
  change(&r, FIRST + sector * KG_STORE_SECTOR_BYTES, 0, KG_STORE_SECTOR_BYTES);
  return 0;
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
