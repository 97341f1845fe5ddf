/* Plans in flash: two halves, and a header written last. */
#include "kilograd/plan_slot.h"

#include <string.h>

#include "internal.h"

enum {
  SLOT_MAGIC = 0x5350474B /* "KGPS" */,
  SLOT_VERSION = 1,
  SLOT_FILE_AT = KG_PLAN_SLOT_OVERHEAD,
  SLOT_SEAL_AT = KG_STORE_PAGE
};
enum { NO_HALF = 2, SLOT_HEADER_BYTES = 28 };
_Static_assert(SLOT_FILE_AT == 2 * KG_STORE_PAGE, "header and seal have a page each");

static uint32_t half_at(const kg_plan_slot *slot, uint32_t half) {
  return half * (slot->flash->sectors / 2) * slot->flash->sector_bytes;
}

static uint32_t idle_half(const kg_plan_slot *slot) { return slot->active == 0 ? 1 : 0; }

uint32_t kg_plan_slot_room(const kg_plan_slot *slot) { return half_at(slot, 1) - SLOT_FILE_AT; }

/* A whole header, and the file that it was written for. */
static int check_half(kg_plan_slot *slot, uint32_t half, kg_plan *plan, uint32_t *sequence) {
  const uint8_t *h = slot->mapped + half_at(slot, half);
  if (kg_store_word(h) != SLOT_MAGIC || kg_store_word(h + 4) != SLOT_VERSION) return 0;
  if (kg_store_word(h + 24) != kg_store_crc(0, h, 24)) return 0;
  *sequence = kg_store_word(h + 8);
  const uint32_t bytes = kg_store_word(h + 12);
  if (bytes > kg_plan_slot_room(slot) || kg_store_word(h + 20) != slot->firmware) return 0;
  if (kg_store_crc(0, h + SLOT_FILE_AT, bytes) != kg_store_word(h + 16)) return 0;
  return kg_plan_open(plan, h + SLOT_FILE_AT, bytes) == KG_OK;
}

/* The seal repeats the header, which was finished before it. */
static int is_sealed(const kg_plan_slot *slot, uint32_t half) {
  const uint8_t *h = slot->mapped + half_at(slot, half);
  return memcmp(h, h + SLOT_SEAL_AT, SLOT_HEADER_BYTES) == 0;
}

kg_store_status kg_plan_slot_open(kg_plan_slot *slot, const kg_flash *flash, const void *mapped, uint32_t firmware,
                                  kg_plan *plan) {
  kg_plan found[2];
  uint32_t sequence[2] = {0, 0};
  int rank[2] = {0, 0}; /* 0: no plan, 1: its header may be torn, 2: sealed */
  if (slot == NULL || flash == NULL || mapped == NULL || plan == NULL) return KG_STORE_BAD_ARGUMENT;
  memset(slot, 0, sizeof *slot);
  slot->active = NO_HALF;
  if (!kg_store_flash_is_good(flash)) return KG_STORE_BAD_FLASH;
  if (flash->sector_bytes * (flash->sectors / 2) <= SLOT_FILE_AT) return KG_STORE_TOO_SMALL;
  slot->flash = flash;
  slot->mapped = mapped;
  slot->firmware = firmware;
  for (uint32_t i = 0; i < 2; ++i)
    if (check_half(slot, i, &found[i], &sequence[i])) rank[i] = is_sealed(slot, i) ? 2 : 1;
  const int second_newer = (int32_t)(sequence[1] - sequence[0]) > 0;
  slot->sequence = second_newer ? sequence[1] : sequence[0];
  if (rank[0] == 0 && rank[1] == 0) return KG_STORE_EMPTY;
  slot->active = rank[1] > rank[0] || (rank[1] == rank[0] && second_newer) ? 1 : 0;
  *plan = found[slot->active];
  return KG_STORE_OK;
}

kg_store_status kg_plan_slot_begin(kg_plan_slot *slot, uint32_t bytes, uint32_t crc) {
  if (slot == NULL || slot->flash == NULL) return KG_STORE_BAD_ARGUMENT;
  slot->receiving = 0;
  if (bytes == 0 || bytes > kg_plan_slot_room(slot)) return KG_STORE_TOO_SMALL;
  const uint32_t first = half_at(slot, idle_half(slot)) / slot->flash->sector_bytes;
  const uint32_t sectors = (SLOT_FILE_AT + bytes + slot->flash->sector_bytes - 1) / slot->flash->sector_bytes;
  for (uint32_t i = 0; i < sectors; ++i)
    if (slot->flash->erase(slot->flash->context, first + i) != 0) return KG_STORE_ERASE_FAILED;
  slot->bytes = bytes;
  slot->crc = crc;
  slot->received = 0;
  slot->receiving = 1;
  return KG_STORE_OK;
}

/* In programs that stay inside a page and a sector. */
static kg_store_status write_at(const kg_plan_slot *slot, uint32_t at, const uint8_t *data, uint32_t bytes) {
  const kg_flash *flash = slot->flash;
  const uint32_t start = half_at(slot, idle_half(slot)) + at;
  for (uint32_t done = 0; done < bytes;) {
    const uint32_t in_sector = (start + done) % flash->sector_bytes;
    uint32_t n = KG_STORE_PAGE - (start + done) % KG_STORE_PAGE, crc = 0;
    if (n > flash->sector_bytes - in_sector) n = flash->sector_bytes - in_sector;
    if (n > bytes - done) n = bytes - done;
    const kg_store_status status = kg_store_program(flash, 0, start + done, data + done, n, &crc);
    if (status != KG_STORE_OK) return status;
    done += n;
  }
  return KG_STORE_OK;
}

kg_store_status kg_plan_slot_write(kg_plan_slot *slot, uint32_t offset, const void *data, uint32_t bytes) {
  if (slot == NULL || data == NULL || !slot->receiving || offset != slot->received) return KG_STORE_BAD_ARGUMENT;
  if (bytes > slot->bytes - offset) return KG_STORE_TOO_SMALL;
  if (bytes % slot->flash->program_bytes != 0 && offset + bytes != slot->bytes) return KG_STORE_BAD_ARGUMENT;
  const kg_store_status status = write_at(slot, SLOT_FILE_AT + offset, data, bytes);
  slot->received += bytes;
  slot->receiving = status == KG_STORE_OK;
  return status;
}

kg_store_status kg_plan_slot_check(const kg_plan_slot *slot, kg_plan *arrived, kg_status *why) {
  kg_status opened = KG_TRUNCATED;
  if (slot == NULL || arrived == NULL || slot->flash == NULL) return KG_STORE_BAD_ARGUMENT;
  const uint8_t *file = slot->mapped + half_at(slot, idle_half(slot)) + SLOT_FILE_AT;
  if (slot->receiving && slot->received == slot->bytes)
    opened = kg_store_crc(0, file, slot->bytes) == slot->crc ? kg_plan_open(arrived, file, slot->bytes) : KG_BAD_CHECKSUM;
  if (why != NULL) *why = opened;
  return opened == KG_OK ? KG_STORE_OK : KG_STORE_REFUSED;
}

kg_store_status kg_plan_slot_commit(kg_plan_slot *slot, kg_plan *plan, kg_status *why) {
  kg_plan arrived;
  if (plan == NULL) return KG_STORE_BAD_ARGUMENT;
  kg_store_status status = kg_plan_slot_check(slot, &arrived, why);
  if (status == KG_STORE_BAD_ARGUMENT) return status;
  slot->receiving = 0;
  if (status != KG_STORE_OK) return status;
  const uint32_t half = idle_half(slot);
  uint8_t header[SLOT_HEADER_BYTES];
  const uint32_t words[6] = {SLOT_MAGIC, SLOT_VERSION, slot->sequence + 1, slot->bytes, slot->crc, slot->firmware};
  for (uint32_t i = 0; i < 6; ++i) kg_store_put_word(header + 4 * i, words[i]);
  kg_store_put_word(header + 24, kg_store_crc(0, header, 24));
  status = write_at(slot, 0, header, sizeof header);
  if (status == KG_STORE_OK) status = write_at(slot, SLOT_SEAL_AT, header, sizeof header);
  if (status != KG_STORE_OK) return status;
  slot->sequence += 1;
  slot->active = half;
  *plan = arrived;
  return KG_STORE_OK;
}
