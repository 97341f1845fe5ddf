/* Cut the power in every store of some saves, start again, and look at the state that comes back: all of its bytes. */
#include <stdlib.h>
#include <string.h>

#include "flash_model.h"
#include "kilograd/store.h"

enum { PLAN = 0x1234ABCD };

typedef struct sweep_result {
  uint64_t cuts;     /* power cuts made */
  uint64_t bad;      /* starts after which the state was not the last one saved nor one begun since */
  uint64_t stuck;    /* starts after which a save did not work */
  uint64_t rules;    /* rules of the flash broken */
  uint64_t new_seen; /* cuts after which the state under way was found: both outcomes must happen */
} sweep_result;

typedef struct device {
  flash_model *model;
  kg_store store;
  uint8_t *state, *want;
  uint32_t bytes;
  uint32_t saved, begun; /* number of the last save that gave KG_STORE_OK, and of the last one begun; 0: factory */
  uint32_t steps;        /* save in steps, from a snapshot */
} device;

/* State number n: nothing of it is like another's, and all its bytes count. */
static void fill(uint8_t *state, uint32_t bytes, uint32_t n) {
  uint32_t x = n * 2654435761u + 12345u;
  for (uint32_t i = 0; i < bytes; ++i) {
    x = x * 1664525u + 1013904223u;
    state[i] = (uint8_t)(x >> 24);
  }
}

static int save(device *d) {
  fill(d->state, d->bytes, ++d->begun);
  kg_store_status status;
  if (d->steps) {
    status = kg_store_begin(&d->store, d->state, d->want);
    memset(d->state, 0xA5, d->bytes); /* training goes on */
    if (status == KG_STORE_OK) do
        status = kg_store_step(&d->store);
      while (status == KG_STORE_MORE);
  } else {
    status = kg_store_save(&d->store, d->state);
  }
  if (status == KG_STORE_OK) d->saved = d->begun;
  return status == KG_STORE_OK;
}

/* Start, load, compare. */
static void start(device *d, sweep_result *result) {
  flash_restart(d->model);
  const kg_store_status found = kg_store_open(&d->store, &d->model->flash, d->bytes, PLAN);
  memset(d->state, 0x5A, d->bytes);
  const kg_store_status loaded = kg_store_load(&d->store, d->state);
  uint32_t good = d->saved == 0 && found == KG_STORE_EMPTY && loaded == KG_STORE_EMPTY;
  for (uint32_t n = d->saved != 0 ? d->saved : 1; n <= d->begun && !good && loaded == KG_STORE_OK; ++n) {
    fill(d->want, d->bytes, n);
    good = found == KG_STORE_OK && memcmp(d->want, d->state, d->bytes) == 0;
    if (good && n > d->saved) result->new_seen += 1;
  }
  result->bad += !good;
}

static device new_device(uint32_t sector_bytes, uint32_t sectors, uint32_t unit, uint32_t bytes) {
  device d = {0};
  d.model = flash_new(sector_bytes, sectors, unit, 0);
  d.state = malloc(bytes);
  d.want = malloc(bytes);
  d.bytes = bytes;
  if (d.state == NULL || d.want == NULL) abort();
  return d;
}

static void copy_device(device *to, const device *from) {
  const device keep = *to;
  *to = *from;
  flash_copy(keep.model, from->model);
  to->model = keep.model;
  to->state = keep.state;
  to->want = keep.want;
  to->store.flash = &to->model->flash;
}

static void free_device(device *d) {
  flash_free(d->model);
  free(d->state);
  free(d->want);
}

/* All that happens after a cut: start twice (reading is not to depend on luck), cut the next save too, down to `depth`, and in the
 * end let two saves through. */
static void recover(const device *after, uint32_t depth, uint32_t tear, sweep_result *result) {
  device d =
      new_device(after->model->flash.sector_bytes, after->model->flash.sectors, after->model->flash.program_bytes, after->bytes);
  copy_device(&d, after);
  start(&d, result);
  if (depth > 0) {
    device next = new_device(d.model->flash.sector_bytes, d.model->flash.sectors, d.model->flash.program_bytes, d.bytes);
    for (uint32_t cut = 1;; ++cut) {
      copy_device(&next, &d);
      next.model->random += cut;
      next.model->stores = 0;
      next.model->cut_at = cut;
      next.model->tear = tear == TEARS ? (uint32_t)(flash_random(next.model) % TEARS) : tear;
      if (save(&next) || !next.model->dead) break; /* beyond its last store */
      result->cuts += 1;
      recover(&next, depth - 1, tear, result);
    }
    free_device(&next);
  }
  start(&d, result);
  for (int i = 0; i < 2; ++i) {
    result->stuck += !save(&d);
    start(&d, result);
  }
  result->rules += d.model->violations != 0;
  free_device(&d);
}

/* After `before` saves, cut in each store of `saves` more, each cut followed by `depth` more cuts in the save after it. With tear
 * TEARS the kind is drawn for each cut. */
void sweep(uint32_t sector_bytes, uint32_t sectors, uint32_t unit, uint32_t bytes, uint32_t before, uint32_t saves,
           uint32_t steps, uint32_t depth, uint32_t tear, uint64_t seed, sweep_result *result) {
  device base = new_device(sector_bytes, sectors, unit, bytes), d = new_device(sector_bytes, sectors, unit, bytes);
  memset(result, 0, sizeof *result);
  base.model->random = seed;
  base.steps = steps;
  kg_store_open(&base.store, &base.model->flash, bytes, PLAN);
  for (uint32_t i = 0; i < before; ++i) result->stuck += !save(&base);
  for (uint32_t cut = 1;; ++cut) {
    copy_device(&d, &base);
    d.model->random += cut * 7919u;
    d.model->stores = 0;
    d.model->cut_at = cut;
    d.model->tear = tear == TEARS ? (uint32_t)(flash_random(d.model) % TEARS) : tear;
    uint32_t done = 0;
    while (done < saves && save(&d)) done += 1;
    if (!d.model->dead) break;
    result->cuts += 1;
    recover(&d, depth, tear, result);
  }
  result->stuck += d.saved != before + saves;
  free_device(&base);
  free_device(&d);
}
