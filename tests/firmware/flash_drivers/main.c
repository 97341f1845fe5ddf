/* A driver at work on its model. driver once | refused | store | fail ERASE PROGRAM */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "bus.h"
#include "kilograd/store.h"

enum { STATE_BYTES = 1000 };

static _Alignas(16) uint8_t data[2 * KG_FLASH_MAX_PROGRAM], back[sizeof data];

static int32_t told(const char *what, int32_t status) {
  bus_settle();
  printf("= %s %d\n", what, (int)status);
  return status;
}

/* Sector 1, and two units in it. */
static void once(const kg_flash *flash) {
  const uint32_t bytes = 2 * flash->program_bytes;
  for (uint32_t i = 0; i < sizeof data; ++i) data[i] = (uint8_t)(i * 7u + 1u);
  (void)told("erase", flash->erase(flash->context, 1));
  (void)told("program", flash->program(flash->context, flash->sector_bytes, data, bytes));
  (void)told("read", flash->read(flash->context, flash->sector_bytes, back, bytes));
  (void)told("same", memcmp(back, data, bytes) == 0);
  (void)told("read the rest", flash->read(flash->context, flash->sector_bytes + bytes, back, bytes));
  memset(data, 0xFF, sizeof data);
  (void)told("erased", memcmp(back, data, bytes) == 0);
}

static void refused(const kg_flash *flash) {
  const uint32_t end = flash->sector_bytes * flash->sectors, unit = flash->program_bytes;
  (void)told("erase behind the end", flash->erase(flash->context, flash->sectors) != 0);
  (void)told("program behind the end", flash->program(flash->context, end, data, unit) != 0);
  (void)told("program over the end", flash->program(flash->context, end - unit, data, 2 * unit) != 0);
  (void)told("program around", flash->program(flash->context, unit, data, 0u - unit) != 0);
  (void)told("program between units", flash->program(flash->context, unit / 2, data, unit) != 0);
  (void)told("program half a unit", flash->program(flash->context, 0, data, unit / 2) != 0);
  (void)told("read behind the end", flash->read(flash->context, end, back, 1) != 0);
}

static void fill(uint8_t *state, uint32_t seed) {
  for (uint32_t i = 0; i < STATE_BYTES; ++i) state[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
}

/* A store on it: a few saves, one of which may fail; whatever was saved last is found again. */
static int32_t keep(const kg_flash *flash, uint32_t erase, uint32_t program) {
  static uint8_t state[STATE_BYTES], found[STATE_BYTES];
  kg_store store;
  (void)told("open", (int32_t)kg_store_open(&store, flash, STATE_BYTES, 1));
  for (uint32_t i = 1; i <= 3; ++i) {
    fill(state, i);
    if (told("save", (int32_t)kg_store_save(&store, state)) != KG_STORE_OK) return 1;
  }
  if (erase || program) {
    model_fail_erase = erase;
    model_fail_program = program;
    fill(found, 99);
    printf("= %s\n", kg_store_status_text(kg_store_save(&store, found)));
  }
  if (told("open", (int32_t)kg_store_open(&store, flash, STATE_BYTES, 1)) != KG_STORE_OK) return 1;
  if (told("load", (int32_t)kg_store_load(&store, found)) != KG_STORE_OK) return 1;
  (void)told("same", memcmp(found, state, sizeof state) == 0);
  return told("save", (int32_t)kg_store_save(&store, state));
}

int main(int argc, char **argv) {
  kg_flash flash;
  if (argc < 2) return 2;
  model_reset();
  kg_board_flash(&flash);
  if (strcmp(argv[1], "once") == 0) once(&flash);
  if (strcmp(argv[1], "refused") == 0) refused(&flash);
  if (strcmp(argv[1], "store") == 0) return keep(&flash, 0, 0);
  if (strcmp(argv[1], "fail") == 0 && argc == 4) return keep(&flash, (uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]));
  return 0;
}
