/* Flash controller of STM32F4 and STM32F7, as the reference manuals tell it (RM0390 and RM0385, section 3). */
#include "bus.h"
#include "kg_config.h"

#define BASE ((uintptr_t)0x40023C00)
#define FLASH ((uintptr_t)0x08000000)

enum { ACCESS = 0x00, KEY = 0x04, STATUS = 0x0C, CONTROL = 0x10 };
enum { PG = 1 << 0, SER = 1 << 1, START = 1 << 16, BUSY = 1 << 16, WRITE_PROTECTED = 1 << 4, CLEARED_BY_ONE = 0xF3 };
#define LOCK 0x80000000u

static const uint32_t sector_kb[] = {MODEL_SECTORS_KB};
enum { SECTORS = sizeof sector_kb / sizeof sector_kb[0], POLLS = 3 };

static uint32_t all_bytes, keys, locked, busy, failing;

static volatile uint32_t *reg(uint32_t offset) { return bus_word(BASE + offset); }

void model_reset(void) {
  for (uint32_t i = 0; i < SECTORS; ++i) all_bytes += sector_kb[i] << 10;
  bus_map(BASE, 0x400, 0);
  bus_map(FLASH, all_bytes, 0);
  *reg(ACCESS) = KG_FLASH_CACHE_ENABLE;
  *reg(CONTROL) = LOCK;
  *reg(STATUS) = WRITE_PROTECTED; /* left over */
  locked = 1;
}

static void begin(int32_t fails) {
  busy = POLLS;
  failing = (uint32_t)fails;
  *reg(STATUS) |= (uint32_t)BUSY;
}

static void erase(uint32_t number) {
  uintptr_t at = FLASH;
  bus_say("erase", number);
  if (number >= SECTORS) {
    bus_say("! no such sector", number);
    return;
  }
  for (uint32_t i = 0; i < number; ++i) at += sector_kb[i] << 10;
  const int32_t fails = model_fails(&model_fail_erase);
  for (uint32_t i = 0; !fails && i < sector_kb[number] << 10; i += 4) *bus_word(at + i) = 0xFFFFFFFFu;
  begin(fails);
}

static void key(uint32_t value) {
  bus_say("key", value);
  keys = value == 0x45670123u ? 1 : value == 0xCDEF89ABu && keys == 1 ? 2 : 0;
  if (keys == 0 || !locked) bus_say("! a key that locks until the next reset", value);
  if (keys != 2) return;
  locked = 0;
  *reg(CONTROL) &= ~LOCK;
}

static void control(uint32_t before, uint32_t value) {
  if (locked) {
    bus_say("! control written while locked", value);
    *reg(CONTROL) = before;
  } else if (busy) {
    bus_say("! control written while busy", value);
  } else if (value & LOCK) {
    bus_say("lock", 0);
    locked = 1;
  } else {
    if ((value >> 8 & 3u) != 2u) bus_say("! not words", value);
    if ((value & (uint32_t)PG) && (value & (uint32_t)SER)) bus_say("! program and erase", value);
    if (value & (uint32_t)PG) bus_say("program", 0);
    if ((value & (uint32_t)SER) && (value & (uint32_t)START)) erase(value >> 3 & 31u);
    *reg(CONTROL) &= ~(uint32_t)START; /* the controller does that */
  }
}

static void cache(uint32_t value) {
  if (value & KG_FLASH_CACHE_RESET)
    bus_say(value & KG_FLASH_CACHE_ENABLE ? "! cache cleared while it is on" : "cache cleared", 0);
  if (KG_FLASH_CACHE_ENABLE != 0 && (value & KG_FLASH_CACHE_ENABLE) == KG_FLASH_CACHE_ENABLE) bus_say("cache on", 0);
}

static void word(uintptr_t at, uint32_t bytes, uint32_t before, uint32_t value) {
  const int32_t fails = model_fails(&model_fail_program);
  bus_say("word", (uint32_t)at);
  if (locked || !(*reg(CONTROL) & (uint32_t)PG)) bus_say("! programmed while that is off", (uint32_t)at);
  if (busy) bus_say("! programmed while busy", (uint32_t)at);
  if (bytes != 4 || at % 4) bus_say("! no word", (uint32_t)at);
  if (before != 0xFFFFFFFFu) bus_say("! programmed twice", (uint32_t)at);
  *bus_word(at) = fails ? before : before & value;
  begin(fails);
}

void model_read(uintptr_t at) {
  if (at == BASE + STATUS && busy && --busy == 0) {
    *reg(STATUS) &= ~(uint32_t)BUSY;
    if (failing) *reg(STATUS) |= (uint32_t)WRITE_PROTECTED;
  } else if (at >= FLASH && at < FLASH + all_bytes && busy) {
    bus_say("! read while busy", (uint32_t)at);
  }
}

void model_write(uintptr_t at, uint32_t bytes, uint32_t before, uint32_t value) {
  if (at == BASE + KEY) {
    key(value);
  } else if (at == BASE + STATUS) {
    *reg(STATUS) = before & ~(value & (uint32_t)CLEARED_BY_ONE);
    bus_say("clear", value);
  } else if (at == BASE + CONTROL) {
    control(before, value);
  } else if (at == BASE + ACCESS) {
    cache(value);
  } else if (at >= FLASH && at < FLASH + all_bytes) {
    word(at, bytes, before, value);
  } else {
    bus_say("! write to an address of nothing", (uint32_t)at);
  }
}
