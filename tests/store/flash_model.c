#include "flash_model.h"

#include <stdlib.h>
#include <string.h>

enum { READ, PROGRAM, ERASE };

uint64_t flash_random(flash_model *model) { /* splitmix64 */
  uint64_t z = model->random += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static uint8_t any_byte(flash_model *model) { return (uint8_t)flash_random(model); }

static int refuses(flash_model *model, int kind) {
  model->calls[kind] += 1;
  return model->dead || model->calls[kind] == model->fail_at[kind];
}

/* One store from what the cells hold to `target`, or the torn half of it. */
static void store(flash_model *model, uint32_t offset, const uint8_t *target, uint32_t bytes) {
  uint8_t *cells = model->cells + offset;
  model->stores += 1;
  if (model->stores != model->cut_at) {
    memcpy(cells, target, bytes);
    memset(model->unstable + offset, 0, bytes);
    return;
  }
  model->dead = 1;
  const uint32_t part = (uint32_t)(flash_random(model) % bytes);
  const uint64_t density = flash_random(model) % 3;
  for (uint32_t i = 0; i < bytes; ++i) {
    const uint8_t change = cells[i] ^ target[i];
    uint8_t some = any_byte(model);
    if (density == 1) some |= any_byte(model);
    if (density == 2) some &= any_byte(model);
    switch (model->tear) {
    case TEAR_AFTER: cells[i] = target[i]; break;
    case TEAR_PART: cells[i] = i < part ? target[i] : cells[i]; break;
    case TEAR_BITS: cells[i] ^= change & some; break;
    case TEAR_GARBAGE: cells[i] = any_byte(model); break;
    case TEAR_UNSTABLE:
      cells[i] = target[i];
      model->unstable[offset + i] |= change;
      model->starts = 0;
      break;
    default: break;
    }
  }
}

static int32_t model_read(void *context, uint32_t offset, void *data, uint32_t bytes) {
  flash_model *model = context;
  const uint32_t area = model->flash.sector_bytes * model->flash.sectors;
  if (offset > area || bytes > area - offset) model->violations += 1;
  if (refuses(model, READ) || offset > area || bytes > area - offset) return -1;
  memcpy(data, model->cells + offset, bytes);
  return 0;
}

static int32_t model_program(void *context, uint32_t offset, const void *data, uint32_t bytes) {
  flash_model *model = context;
  const uint32_t unit = model->flash.program_bytes, sector = model->flash.sector_bytes, area = sector * model->flash.sectors;
  const uint8_t *wanted = data;
  uint8_t target[KG_FLASH_MAX_PROGRAM];
  if (offset % unit != 0 || bytes % unit != 0 || bytes == 0 || offset >= area || bytes > sector - offset % sector ||
      bytes > 256 - offset % 256 || (uintptr_t)data % 16 != 0) {
    model->violations += 1;
    return -1;
  }
  if (refuses(model, PROGRAM)) return -1;
  if (model->calls[PROGRAM] == model->lie_at) return 0;
  for (uint32_t done = 0; done < bytes; done += unit) {
    if (model->programmed[(offset + done) / unit]) model->violations += 1;
    model->programmed[(offset + done) / unit] = 1;
    for (uint32_t i = 0; i < unit; ++i) target[i] = model->cells[offset + done + i] & wanted[done + i];
    store(model, offset + done, target, unit);
    if (model->dead) return -1;
  }
  return 0;
}

static int32_t model_erase(void *context, uint32_t sector) {
  flash_model *model = context;
  const uint32_t bytes = model->flash.sector_bytes, units = bytes / model->flash.program_bytes;
  if (sector >= model->flash.sectors) {
    model->violations += 1;
    return -1;
  }
  if (refuses(model, ERASE)) return -1;
  uint8_t *blank = malloc(bytes);
  if (blank == NULL) abort();
  memset(blank, 0xFF, bytes);
  model->erases[sector] += 1;
  store(model, sector * bytes, blank, bytes);
  free(blank);
  /* after a torn erase no unit may be taken for blank */
  memset(model->programmed + sector * units, model->dead ? 1 : 0, units);
  return model->dead ? -1 : 0;
}

static void *zeroed(size_t bytes) {
  void *memory = calloc(1, bytes);
  if (memory == NULL) abort();
  return memory;
}

flash_model *flash_new(uint32_t sector_bytes, uint32_t sectors, uint32_t program_bytes, uint64_t seed) {
  flash_model *model = zeroed(sizeof *model);
  const uint32_t area = sector_bytes * sectors;
  model->flash = (kg_flash){model, sector_bytes, sectors, program_bytes, model_read, model_program, model_erase};
  model->cells = zeroed(area);
  model->unstable = zeroed(area);
  model->programmed = zeroed(area);
  model->erases = zeroed(sectors * sizeof *model->erases);
  model->random = seed;
  memset(model->cells, 0xFF, area);
  return model;
}

void flash_free(flash_model *model) {
  free(model->cells);
  free(model->unstable);
  free(model->programmed);
  free(model->erases);
  free(model);
}

void flash_copy(flash_model *to, const flash_model *from) {
  const uint32_t area = from->flash.sector_bytes * from->flash.sectors;
  flash_model keep = *to;
  *to = *from;
  to->flash.context = to;
  to->cells = keep.cells;
  to->unstable = keep.unstable;
  to->programmed = keep.programmed;
  to->erases = keep.erases;
  memcpy(to->cells, from->cells, area);
  memcpy(to->unstable, from->unstable, area);
  memcpy(to->programmed, from->programmed, area);
  memcpy(to->erases, from->erases, from->flash.sectors * sizeof *to->erases);
}

void flash_restart(flash_model *model) {
  const uint32_t area = model->flash.sector_bytes * model->flash.sectors;
  model->dead = 0;
  model->cut_at = 0;
  model->starts += 1;
  for (uint32_t i = 0; i < area && model->starts > 1; ++i)
    if (model->unstable[i] != 0)
      model->cells[i] = (uint8_t)((model->cells[i] & ~model->unstable[i]) | (any_byte(model) & model->unstable[i]));
}

const kg_flash *flash_driver(flash_model *model) { return &model->flash; }
