/* Checkpoints as bytes, and the ring that they lie in. docs/store.md is the specification. */
#ifndef KG_STORE_INTERNAL_H
#define KG_STORE_INTERNAL_H

#include <stddef.h>

#include "kilograd/store.h"

/* Words are little-endian; each record is filled up with 0xFF to whole units of a program. */
enum {
  KG_STORE_MAGIC = 0x5043474B,  /* "KGCP" */
  KG_STORE_COMMIT = 0x4B4F474B, /* "KGOK" */
  KG_STORE_SEAL = 0x4C53474B,   /* "KGSL" */
  KG_STORE_VERSION = 1,
  KG_STORE_HEADER_BYTES = 36,
  KG_STORE_MARK_BYTES = 16,
  KG_STORE_PAGE = 256 /* at most this much in one program, and never across a multiple of it */
};
_Static_assert(KG_STORE_PAGE % KG_FLASH_MAX_PROGRAM == 0, "a page is whole units");

enum { KG_STORE_IDLE, KG_STORE_ERASING, KG_STORE_HEADER, KG_STORE_STATE, KG_STORE_COMMITTING, KG_STORE_SEALING };

/* CRC-32 as zlib: begin with 0 and go on from the value before. */
uint32_t kg_store_crc(uint32_t crc, const uint8_t *bytes, uint32_t count);
uint32_t kg_store_word(const uint8_t *bytes);
void kg_store_put_word(uint8_t *bytes, uint32_t value);

uint32_t kg_store_units(const kg_flash *flash, uint32_t bytes); /* rounded up to whole units */
uint32_t kg_store_commit_at(const kg_flash *flash);             /* offsets in a checkpoint */
uint32_t kg_store_seal_at(const kg_flash *flash);
uint32_t kg_store_state_at(const kg_flash *flash);
uint32_t kg_store_sectors_for(const kg_flash *flash, uint32_t state_bytes);
/* Geometry that makes sense, and functions that are there. */
int kg_store_flash_is_good(const kg_flash *flash);

void kg_store_header(const kg_store_place *place, uint8_t header[KG_STORE_HEADER_BYTES]);
void kg_store_mark(const kg_store_place *place, uint32_t kind, uint8_t mark[KG_STORE_MARK_BYTES]);

/* Read at an offset in the checkpoint that begins at `sector`; goes on at the start of the area after its end. */
kg_store_status kg_store_read(const kg_flash *flash, uint32_t sector, uint32_t at, uint8_t *data, uint32_t bytes);
/* Program up to a page, which lies inside one sector, and read it back; `crc` goes on over what was read. */
kg_store_status kg_store_program(const kg_flash *flash, uint32_t sector, uint32_t at, const uint8_t *data, uint32_t bytes,
                                 uint32_t *crc);

#endif
