/* Bytes of a checkpoint, and access to the area as a ring of sectors. */
#include <string.h>

#include "internal.h"

uint32_t kg_store_crc(uint32_t crc, const uint8_t *bytes, uint32_t count) {
  static const uint32_t nibble[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                      0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                      0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
  crc = ~crc;
  for (uint32_t i = 0; i < count; ++i) {
    crc ^= bytes[i];
    crc = (crc >> 4) ^ nibble[crc & 15u];
    crc = (crc >> 4) ^ nibble[crc & 15u];
  }
  return ~crc;
}

uint32_t kg_store_word(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void kg_store_put_word(uint8_t *bytes, uint32_t value) {
  for (uint32_t i = 0; i < 4; ++i) bytes[i] = (uint8_t)(value >> (8 * i));
}

uint32_t kg_store_units(const kg_flash *flash, uint32_t bytes) {
  return (bytes + flash->program_bytes - 1) / flash->program_bytes * flash->program_bytes;
}

uint32_t kg_store_commit_at(const kg_flash *flash) { return kg_store_units(flash, KG_STORE_HEADER_BYTES); }

uint32_t kg_store_seal_at(const kg_flash *flash) {
  return kg_store_commit_at(flash) + kg_store_units(flash, KG_STORE_MARK_BYTES);
}

uint32_t kg_store_state_at(const kg_flash *flash) { return kg_store_seal_at(flash) + kg_store_units(flash, KG_STORE_MARK_BYTES); }

uint32_t kg_store_sectors_for(const kg_flash *flash, uint32_t state_bytes) {
  const uint64_t bytes = (uint64_t)state_bytes + kg_store_state_at(flash);
  return (uint32_t)((bytes + flash->sector_bytes - 1) / flash->sector_bytes);
}

int kg_store_flash_is_good(const kg_flash *flash) {
  const uint32_t unit = flash->program_bytes;
  if (flash->read == NULL || flash->program == NULL || flash->erase == NULL) return 0;
  if (unit == 0 || unit > KG_FLASH_MAX_PROGRAM || (unit & (unit - 1)) != 0) return 0;
  if (flash->sector_bytes == 0 || flash->sector_bytes % unit != 0 || flash->sectors == 0) return 0;
  return (uint64_t)flash->sector_bytes * flash->sectors <= INT32_MAX;
}

void kg_store_header(const kg_store_place *place, uint8_t header[KG_STORE_HEADER_BYTES]) {
  const uint32_t words[8] = {KG_STORE_MAGIC, KG_STORE_VERSION,     place->sequence, place->sector,
                             place->bytes,   place->plan_checksum, place->checksum, place->erases};
  for (uint32_t i = 0; i < 8; ++i) kg_store_put_word(header + 4 * i, words[i]);
  kg_store_put_word(header + 32, kg_store_crc(0, header, 32));
}

void kg_store_mark(const kg_store_place *place, uint32_t kind, uint8_t mark[KG_STORE_MARK_BYTES]) {
  uint8_t header[KG_STORE_HEADER_BYTES];
  kg_store_header(place, header);
  kg_store_put_word(mark, kind);
  kg_store_put_word(mark + 4, place->sequence);
  memcpy(mark + 8, header + 32, 4);
  kg_store_put_word(mark + 12, kg_store_crc(0, mark, 12));
}

kg_store_status kg_store_read(const kg_flash *flash, uint32_t sector, uint32_t at, uint8_t *data, uint32_t bytes) {
  const uint32_t area = flash->sector_bytes * flash->sectors;
  const uint32_t from = (sector * flash->sector_bytes + at) % area;
  const uint32_t first = bytes < area - from ? bytes : area - from;
  if (flash->read(flash->context, from, data, first) != 0) return KG_STORE_READ_FAILED;
  if (first < bytes && flash->read(flash->context, 0, data + first, bytes - first) != 0) return KG_STORE_READ_FAILED;
  return KG_STORE_OK;
}

kg_store_status kg_store_program(const kg_flash *flash, uint32_t sector, uint32_t at, const uint8_t *data, uint32_t bytes,
                                 uint32_t *crc) {
  _Alignas(16) uint8_t unit[KG_STORE_PAGE];
  const uint32_t area = flash->sector_bytes * flash->sectors;
  const uint32_t to = (sector * flash->sector_bytes + at) % area, whole = kg_store_units(flash, bytes);
  memset(unit, 0xFF, sizeof unit);
  memcpy(unit, data, bytes);
  if (flash->program(flash->context, to, unit, whole) != 0) return KG_STORE_PROGRAM_FAILED;
  memset(unit, 0, sizeof unit);
  if (flash->read(flash->context, to, unit, bytes) != 0) return KG_STORE_READ_FAILED;
  *crc = kg_store_crc(*crc, unit, bytes);
  return memcmp(unit, data, bytes) == 0 ? KG_STORE_OK : KG_STORE_PROGRAM_FAILED;
}
