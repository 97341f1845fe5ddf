/* Write a checkpoint. The order is the whole point: erase, header, state, commit mark, seal, each finished and read back before
 * the next begins; and nothing touches the checkpoint that a load would fall back to. */
#include <string.h>

#include "internal.h"

static int is_unusable(const kg_store *store) {
  return store->found == KG_STORE_TOO_SMALL || store->found == KG_STORE_BAD_FLASH || store->found == KG_STORE_BAD_ARGUMENT;
}

static int overlap(const kg_store_place *a, const kg_store_place *b, uint32_t ring) {
  return (a->sector + ring - b->sector) % ring < b->sectors || (b->sector + ring - a->sector) % ring < a->sectors;
}

/* The next place in the ring; or, when the newest may be torn, that one's place again. */
static kg_store_status find_place(kg_store *store, uint32_t bytes) {
  const uint32_t ring = store->flash->sectors;
  const kg_store_place *newest = &store->newest, *keep = store->has_kept ? &store->kept : newest;
  kg_store_place *place = &store->writing;
  memset(place, 0, sizeof *place);
  place->bytes = bytes;
  place->sectors = kg_store_sectors_for(store->flash, bytes);
  place->plan_checksum = store->plan_checksum;
  place->sequence = store->last_sequence + 1 != 0 ? store->last_sequence + 1 : 1;
  if (!store->has_newest) return KG_STORE_OK;
  place->sector = store->has_kept ? newest->sector : (newest->sector + newest->sectors) % ring;
  return overlap(place, keep, ring) ? KG_STORE_FULL : KG_STORE_OK;
}

static kg_store_status begin(kg_store *store, const uint8_t *source, uint32_t bytes) {
  if (is_unusable(store)) return store->found;
  if (store->phase != KG_STORE_IDLE) return KG_STORE_BUSY;
  const kg_store_status placed = find_place(store, bytes);
  if (placed != KG_STORE_OK) return placed;
  store->source = source;
  store->writing.checksum = bytes != 0 ? kg_store_crc(0, source, bytes) : 0;
  store->checksum = 0;
  store->done = 0;
  store->phase = KG_STORE_ERASING;
  return KG_STORE_OK;
}

kg_store_status kg_store_begin(kg_store *store, const void *state, void *snapshot) {
  if (store == NULL || state == NULL) return KG_STORE_BAD_ARGUMENT;
  if (snapshot == NULL || is_unusable(store) || store->phase != KG_STORE_IDLE) return begin(store, state, store->state_bytes);
  memcpy(snapshot, state, store->state_bytes);
  return begin(store, snapshot, store->state_bytes);
}

static kg_store_status erase_next(kg_store *store) {
  const uint32_t sector = (store->writing.sector + store->done) % store->flash->sectors;
  store->erases += 1;
  if (store->flash->erase(store->flash->context, sector) != 0) return KG_STORE_ERASE_FAILED;
  store->done += 1;
  if (store->done == store->writing.sectors) store->phase = KG_STORE_HEADER;
  return KG_STORE_OK;
}

static kg_store_status write_header(kg_store *store) {
  uint8_t header[KG_STORE_HEADER_BYTES];
  uint32_t crc = 0;
  /* to forget erases every other sector once the mark is there */
  if (store->writing.bytes == 0) store->erases += store->flash->sectors - store->writing.sectors;
  store->writing.erases = store->erases;
  store->last_sequence = store->writing.sequence; /* used up, even if this save fails */
  kg_store_header(&store->writing, header);
  store->done = 0;
  store->phase = store->writing.bytes != 0 ? KG_STORE_STATE : KG_STORE_COMMITTING;
  return kg_store_program(store->flash, store->writing.sector, 0, header, sizeof header, &crc);
}

static kg_store_status write_page(kg_store *store) {
  const uint32_t at = kg_store_state_at(store->flash) + store->done, in_sector = at % store->flash->sector_bytes;
  uint32_t n = KG_STORE_PAGE - in_sector % KG_STORE_PAGE;
  if (n > store->flash->sector_bytes - in_sector) n = store->flash->sector_bytes - in_sector;
  if (n > store->writing.bytes - store->done) n = store->writing.bytes - store->done;
  const uint8_t *page = store->source + store->done;
  store->done += n;
  if (store->done == store->writing.bytes) store->phase = KG_STORE_COMMITTING;
  return kg_store_program(store->flash, store->writing.sector, at, page, n, &store->checksum);
}

static kg_store_status write_mark(kg_store *store, uint32_t kind, uint32_t at) {
  uint8_t mark[KG_STORE_MARK_BYTES];
  uint32_t crc = 0;
  kg_store_mark(&store->writing, kind, mark);
  return kg_store_program(store->flash, store->writing.sector, at, mark, sizeof mark, &crc);
}

static kg_store_status commit(kg_store *store) {
  /* what the flash holds against what the state was at the beginning */
  if (store->checksum != store->writing.checksum) return KG_STORE_CHANGED;
  const kg_store_status status = write_mark(store, KG_STORE_COMMIT, kg_store_commit_at(store->flash));
  if (status != KG_STORE_OK) return status;
  store->newest = store->writing;
  store->has_newest = 1;
  store->has_kept = 0;
  store->found = store->writing.bytes != 0 ? KG_STORE_OK : KG_STORE_EMPTY;
  store->phase = KG_STORE_SEALING;
  return KG_STORE_OK;
}

kg_store_status kg_store_step(kg_store *store) {
  kg_store_status status = KG_STORE_BAD_ARGUMENT;
  if (store == NULL) return status;
  if (is_unusable(store)) return store->found;
  switch (store->phase) {
  case KG_STORE_ERASING: status = erase_next(store); break;
  case KG_STORE_HEADER: status = write_header(store); break;
  case KG_STORE_STATE: status = write_page(store); break;
  case KG_STORE_COMMITTING: status = commit(store); break;
  case KG_STORE_SEALING: store->phase = KG_STORE_IDLE; return write_mark(store, KG_STORE_SEAL, kg_store_seal_at(store->flash));
  default: return status;
  }
  if (status == KG_STORE_OK) return KG_STORE_MORE;
  store->phase = KG_STORE_IDLE;
  return status;
}

void kg_store_cancel(kg_store *store) {
  if (store != NULL) store->phase = KG_STORE_IDLE;
}

static kg_store_status finish(kg_store *store, kg_store_status status) {
  if (status != KG_STORE_OK) return status;
  do status = kg_store_step(store);
  while (status == KG_STORE_MORE);
  return status;
}

kg_store_status kg_store_save(kg_store *store, const void *state) { return finish(store, kg_store_begin(store, state, NULL)); }

kg_store_status kg_store_forget(kg_store *store) {
  if (store == NULL) return KG_STORE_BAD_ARGUMENT;
  kg_store_status status = finish(store, begin(store, NULL, 0));
  if (status != KG_STORE_OK) return status;
  /* Forgotten. What is left is to erase what nothing points to any more. */
  for (uint32_t i = 1; i < store->flash->sectors; ++i) {
    const uint32_t sector = (store->newest.sector + i) % store->flash->sectors;
    if (store->flash->erase(store->flash->context, sector) != 0) status = KG_STORE_ERASE_FAILED;
  }
  return status;
}
