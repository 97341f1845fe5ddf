/* Find the newest checkpoint, load it, and say what is there. */
#include <string.h>

#include "internal.h"

static int same_bytes(const uint8_t *a, const uint8_t *b, uint32_t bytes) { return memcmp(a, b, bytes) == 0; }

/* Is a newer than b? Sequence numbers wrap. */
static int is_newer(uint32_t a, uint32_t b) { return a != b && a - b < 0x80000000u; }

typedef struct search {
  const kg_flash *flash;
  uint32_t failed_reads, other_versions;
  uint32_t last_sequence; /* of all headers, also of checkpoints that were never finished */
} search;

static int read_ok(search *s, uint32_t sector, uint32_t at, uint8_t *data, uint32_t bytes) {
  if (kg_store_read(s->flash, sector, at, data, bytes) == KG_STORE_OK) return 1;
  s->failed_reads += 1;
  return 0;
}

/* A header that is whole and stands where it says. */
static int read_header(search *s, uint32_t sector, kg_store_place *place) {
  uint8_t header[KG_STORE_HEADER_BYTES];
  if (!read_ok(s, sector, 0, header, sizeof header)) return 0;
  if (kg_store_word(header) != KG_STORE_MAGIC || kg_store_word(header + 32) != kg_store_crc(0, header, 32)) return 0;
  if (kg_store_word(header + 4) != KG_STORE_VERSION) {
    s->other_versions += 1;
    return 0;
  }
  place->sequence = kg_store_word(header + 8);
  place->sector = kg_store_word(header + 12);
  place->bytes = kg_store_word(header + 16);
  place->plan_checksum = kg_store_word(header + 20);
  place->checksum = kg_store_word(header + 24);
  place->erases = kg_store_word(header + 28);
  place->sectors = kg_store_sectors_for(s->flash, place->bytes);
  return place->sector == sector && place->sectors <= s->flash->sectors;
}

static int has_mark(search *s, const kg_store_place *place, uint32_t kind, uint32_t at) {
  uint8_t wanted[KG_STORE_MARK_BYTES], mark[KG_STORE_MARK_BYTES];
  kg_store_mark(place, kind, wanted);
  return read_ok(s, place->sector, at, mark, sizeof mark) && same_bytes(mark, wanted, sizeof mark);
}

/* Committed, and the state is the one that was saved: half an erase may have left the header alone. */
static int is_valid(search *s, const kg_store_place *place) {
  uint8_t part[64];
  uint32_t crc = 0;
  if (!has_mark(s, place, KG_STORE_COMMIT, kg_store_commit_at(s->flash))) return 0;
  for (uint32_t done = 0; done < place->bytes;) {
    const uint32_t n = place->bytes - done < sizeof part ? place->bytes - done : (uint32_t)sizeof part;
    if (!read_ok(s, place->sector, kg_store_state_at(s->flash) + done, part, n)) return 0;
    crc = kg_store_crc(crc, part, n);
    done += n;
  }
  return crc == place->checksum;
}

/* Order of places: numbers of checkpoints differ, but the header of one that never was finished may repeat a number. */
static int is_after(const kg_store_place *a, const kg_store_place *b) {
  return is_newer(a->sequence, b->sequence) || (a->sequence == b->sequence && a->sector > b->sector);
}

/* The newest valid checkpoint, or, with `below`, the newest one older than that. */
static int find_newest(search *s, const kg_store_place *below, kg_store_place *newest) {
  kg_store_place limit = below != NULL ? *below : (kg_store_place){0};
  int limited = below != NULL;
  for (;;) {
    int found = 0;
    for (uint32_t sector = 0; sector < s->flash->sectors; ++sector) {
      kg_store_place place;
      if (!read_header(s, sector, &place) || (limited && !is_after(&limit, &place))) continue;
      if (found && !is_after(&place, newest)) continue;
      *newest = place;
      found = 1;
    }
    if (found && !limited) s->last_sequence = newest->sequence;
    if (!found || is_valid(s, newest)) return found;
    limit = *newest;
    limited = 1;
  }
}

static kg_store_status judge(const kg_store *store, const search *s) {
  if (!store->has_newest) return s->other_versions != 0 ? KG_STORE_OTHER_VERSION : KG_STORE_EMPTY;
  if (store->newest.bytes == 0) return KG_STORE_EMPTY;
  if (store->newest.plan_checksum != store->plan_checksum) return KG_STORE_OTHER_PLAN;
  return store->newest.bytes == store->state_bytes ? KG_STORE_OK : KG_STORE_OTHER_SIZE;
}

kg_store_status kg_store_open(kg_store *store, const kg_flash *flash, uint32_t state_bytes, uint32_t plan_checksum) {
  search s = {flash, 0, 0, 0};
  if (store == NULL) return KG_STORE_BAD_ARGUMENT;
  memset(store, 0, sizeof *store);
  store->found = KG_STORE_BAD_ARGUMENT;
  if (flash == NULL || state_bytes == 0) return store->found;
  store->flash = flash;
  store->state_bytes = state_bytes;
  store->plan_checksum = plan_checksum;
  store->found = KG_STORE_BAD_FLASH;
  if (!kg_store_flash_is_good(flash) || kg_store_state_at(flash) > flash->sector_bytes) return store->found;
  store->found = KG_STORE_TOO_SMALL;
  if (kg_store_sectors_for(flash, state_bytes) > flash->sectors / 2) return store->found;

  store->has_newest = (uint32_t)find_newest(&s, NULL, &store->newest);
  store->last_sequence = s.last_sequence;
  if (store->has_newest) {
    /* Without its seal the commit mark may be torn, and read well only today: the one before must outlive the next save. */
    if (!has_mark(&s, &store->newest, KG_STORE_SEAL, kg_store_seal_at(flash)))
      store->has_kept = (uint32_t)find_newest(&s, &store->newest, &store->kept);
    store->erases = store->newest.erases;
  }
  store->found = judge(store, &s);
  return s.failed_reads != 0 ? KG_STORE_READ_FAILED : store->found;
}

kg_store_status kg_store_load(kg_store *store, void *state) {
  if (store == NULL || state == NULL) return KG_STORE_BAD_ARGUMENT;
  if (store->found != KG_STORE_OK) return store->found;
  const kg_store_place *from = &store->newest;
  if (kg_store_read(store->flash, from->sector, kg_store_state_at(store->flash), state, from->bytes) != KG_STORE_OK)
    return KG_STORE_READ_FAILED;
  return kg_store_crc(0, state, from->bytes) == from->checksum ? KG_STORE_OK : KG_STORE_READ_FAILED;
}

void kg_store_get_statistics(const kg_store *store, kg_store_statistics *statistics) {
  if (statistics == NULL) return;
  memset(statistics, 0, sizeof *statistics);
  if (store == NULL || store->found >= KG_STORE_BAD_FLASH || store->found == KG_STORE_TOO_SMALL) return;
  const uint32_t sectors = kg_store_sectors_for(store->flash, store->state_bytes);
  statistics->sequence = store->has_newest && store->newest.bytes != 0 ? store->newest.sequence : 0;
  statistics->erases = store->erases;
  statistics->sectors = store->flash->sectors;
  statistics->checkpoint_bytes = sectors * store->flash->sector_bytes;
  statistics->ring = store->flash->sectors / sectors;
}

const char *kg_store_status_text(kg_store_status status) {
  switch (status) {
  case KG_STORE_OK: return "ok";
  case KG_STORE_MORE: return "saving, more to do";
  case KG_STORE_EMPTY: return "nothing is saved";
  case KG_STORE_OTHER_PLAN: return "what is saved belongs to another plan";
  case KG_STORE_OTHER_SIZE: return "what is saved has another size";
  case KG_STORE_OTHER_VERSION: return "what is saved has a layout of another version";
  case KG_STORE_TOO_SMALL: return "the flash cannot hold two checkpoints";
  case KG_STORE_FULL: return "what is saved leaves no room for more";
  case KG_STORE_CHANGED: return "the state changed while it was saved";
  case KG_STORE_BUSY: return "a save is under way";
  case KG_STORE_READ_FAILED: return "the flash could not be read";
  case KG_STORE_PROGRAM_FAILED: return "the flash could not be programmed";
  case KG_STORE_ERASE_FAILED: return "the flash could not be erased";
  case KG_STORE_BAD_FLASH: return "the description of the flash makes no sense";
  case KG_STORE_BAD_ARGUMENT: return "bad argument";
  case KG_STORE_REFUSED: return "what arrived is not the plan that was announced";
  }
  return "unknown status";
}
