/* Flash functions of the RP2040's boot ROM and the interface that reads the flash as memory, as the datasheet tells them (2.8.3, 4.10). */
#include <string.h>

#include "bus.h"
#include "kg_config.h"

#define SSI ((uintptr_t)0x18000000)
#define FLASH ((uintptr_t)0x10000000)
#define FIRST ((uint32_t)(KG_STORE_ORIGIN - FLASH))
#define BYTES ((uint32_t)KG_STORE_SECTOR_BYTES * (uint32_t)(KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS))

enum { CTRLR0 = 0x00, CTRLR1 = 0x04, ENABLE = 0x08, BAUD = 0x14, SPI_CTRLR0 = 0xF4 };
enum { SECTOR = 4096, PAGE = 256, TABLE = 0x1234, LOOKUP = 0x5678 };

/* How far the flash is from being memory: each step follows the one before. */
static enum { AS_MEMORY, CONNECTED, COMMANDS, CHANGED, FLUSHED } way;

uintptr_t fake_rom_half(uintptr_t address); /* stands in the driver where it reads the ROM, which no host has at address 0x14 */

void model_reset(void) {
  bus_map(SSI, 0x1000, 0);
  bus_map(KG_STORE_ORIGIN, BYTES, 0);
  *bus_word(SSI + ENABLE) = 1;
}

static void step(const char *name, int32_t from, int32_t to) {
  bus_settle();
  bus_say(name, 0);
  if ((int32_t)way != from) bus_say("! not now", (uint32_t)way);
  way = to;
}

static void connect(void) { step("connect", AS_MEMORY, CONNECTED); }
static void exit_xip(void) { step("exit_xip", CONNECTED, COMMANDS); }
static void flush(void) { step("flush", CHANGED, FLUSHED); }

static uint8_t *inside(uint32_t offset, uint32_t bytes) {
  static uint8_t elsewhere[SECTOR];
  if (offset >= FIRST && bytes <= BYTES && offset - FIRST <= BYTES - bytes) return (uint8_t *)(FLASH + offset);
  bus_say("! outside the area", offset);
  return elsewhere;
}

static void erase(uint32_t offset, uint32_t bytes, uint32_t block, uint32_t command) {
  step("erase", COMMANDS, CHANGED);
  if (offset % SECTOR || bytes != SECTOR) bus_say("! no sector", offset);
  if (block != 65536 || command != 0xD8) bus_say("! no command of this flash", command);
  if (!model_fails(&model_fail_erase)) memset(inside(offset, bytes), 0xFF, SECTOR);
}

static void program(uint32_t offset, const uint8_t *data, uint32_t bytes) {
  step("program", COMMANDS, CHANGED);
  bus_say("at", offset);
  if (offset % PAGE || bytes % PAGE) bus_say("! no pages", offset);
  if ((uintptr_t)data >= FLASH && (uintptr_t)data < FLASH + 0x8000000) bus_say("! data in the flash itself", offset);
  uint8_t *to = inside(offset, bytes);
  if (model_fails(&model_fail_program)) return;
  for (uint32_t i = 0; i < bytes; ++i) {
    if (to[i] != 0xFF) bus_say("! programmed twice", offset + i);
    to[i] &= data[i];
  }
}

static void *lookup(const uint16_t *table, uint32_t code) {
  static const struct {
    char name[3];
    void (*function)(void);
  } functions[] = {
      {"IF", connect}, {"EX", exit_xip}, {"FC", flush}, {"RE", (void (*)(void))erase}, {"RP", (void (*)(void))program},
  };
  if ((uintptr_t)table != TABLE) bus_say("! not the table", 0);
  for (uint32_t i = 0; i < sizeof functions / sizeof functions[0]; ++i)
    if (code == ((uint32_t)functions[i].name[0] | (uint32_t)functions[i].name[1] << 8))
      return (void *)(uintptr_t)functions[i].function;
  bus_say("! no such function", code);
  return 0;
}

uintptr_t fake_rom_half(uintptr_t address) {
  if (address == 0x14) return TABLE;
  if (address == 0x18) return (uintptr_t)lookup;
  bus_say("! not a place of the ROM's pointers", (uint32_t)address);
  return 0;
}

void model_read(uintptr_t at) {
  if (at >= FLASH && at < SSI && way != AS_MEMORY) bus_say("! read while it is no memory", (uint32_t)at);
}

static void enable(uint32_t value) {
  bus_say("enable", value);
  if (!value) return;
  if (way != FLUSHED) bus_say("! enabled too early", (uint32_t)way);
  if (*bus_word(SSI + CTRLR0) != 0x001F0300 || *bus_word(SSI + CTRLR1) != 0 || *bus_word(SSI + SPI_CTRLR0) != 0x03000218)
    bus_say("! not command 03h with 24 address bits", *bus_word(SSI + SPI_CTRLR0));
  if (*bus_word(SSI + BAUD) < 2 || *bus_word(SSI + BAUD) % 2) bus_say("! no divider", *bus_word(SSI + BAUD));
  way = AS_MEMORY;
}

void model_write(uintptr_t at, uint32_t bytes, uint32_t before, uint32_t value) {
  (void)before;
  if (at < SSI || at > SSI + SPI_CTRLR0 || bytes != 4) {
    bus_say("! write to an address of nothing", (uint32_t)at);
  } else if (at == SSI + ENABLE) {
    enable(value);
  } else if (*bus_word(SSI + ENABLE) != 0) {
    bus_say("! set while enabled", (uint32_t)(at - SSI));
  }
}
