/* Flash controller of the nRF51 and nRF52, as the product specifications tell it (NVMC). It has no error flags: what is protected is just
 * left as it was. */
#include "bus.h"
#include "kg_config.h"

#define BASE ((uintptr_t)KG_NVMC_BASE)
#define AREA ((uintptr_t)KG_STORE_ORIGIN)
#define PAGE ((uint32_t)KG_STORE_SECTOR_BYTES)
#define BYTES (PAGE * (uint32_t)(KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS))

enum { READY = 0x400, CONFIG = 0x504, ERASE_PAGE = 0x508, READ_ONLY = 0, WRITE, ERASE, POLLS = 3 };

static uint32_t busy;

static volatile uint32_t *reg(uint32_t offset) { return bus_word(BASE + offset); }

void model_reset(void) {
  bus_map(BASE, 0x1000, 0);
  bus_map(AREA, BYTES, 0);
  *reg(READY) = 1;
}

static void begin(void) {
  busy = POLLS;
  *reg(READY) = 0;
}

static void erase(uint32_t at) {
  bus_say("erase", at);
  if (*reg(CONFIG) != ERASE) bus_say("! erased while that is off", at);
  if (at % PAGE || at < AREA || at >= AREA + BYTES) bus_say("! no page of the area", at);
  if (!model_fails(&model_fail_erase))
    for (uint32_t i = 0; i < PAGE; i += 4) *bus_word(at + i) = 0xFFFFFFFFu;
  begin();
}

static void word(uintptr_t at, uint32_t bytes, uint32_t before, uint32_t value) {
  const int32_t fails = model_fails(&model_fail_program);
  bus_say("word", (uint32_t)at);
  if (*reg(CONFIG) != WRITE) bus_say("! programmed while that is off", (uint32_t)at);
  if (bytes != 4 || at % 4) bus_say("! no word", (uint32_t)at);
  if (before != 0xFFFFFFFFu) bus_say("! programmed twice", (uint32_t)at);
  *bus_word(at) = fails ? before : before & value;
  begin();
}

void model_read(uintptr_t at) {
  if (at == BASE + READY && busy && --busy == 0) *reg(READY) = 1;
  if (at >= AREA && at < AREA + BYTES && busy) bus_say("! read while busy", (uint32_t)at);
}

void model_write(uintptr_t at, uint32_t bytes, uint32_t before, uint32_t value) {
  if (busy) bus_say("! written while busy", (uint32_t)at);
  if (at == BASE + CONFIG) {
    bus_say("mode", value);
    if (value > ERASE) bus_say("! no such mode", value);
  } else if (at == BASE + ERASE_PAGE) {
    erase(value);
  } else if (at >= AREA && at < AREA + BYTES) {
    word(at, bytes, before, value);
  } else {
    bus_say("! write to an address of nothing", (uint32_t)at);
  }
}
