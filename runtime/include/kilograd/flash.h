/* What a board says about an area of NOR flash: the few functions that remembering needs.
 *
 * The area is `sectors` sectors of `sector_bytes`; offsets count from its start. Erased flash reads as 0xFF, a program only
 * turns bits from 1 to 0, and an erase turns a whole sector back to 1. Callers in this project keep to these rules, and a
 * driver may rely on them:
 *
 * - offset and bytes of a program are multiples of program_bytes, a program stays inside one sector, and `data` is aligned to
 *   16 bytes and lies in RAM;
 * - a unit of program_bytes is never programmed twice without an erase between (flash with error correction needs that);
 * - offset and bytes of a read are anything inside the area.
 *
 * program_bytes is a power of two up to KG_FLASH_MAX_PROGRAM, and sector_bytes a multiple of it.
 *
 * What the driver has to do: wait until the work is done, and give 0, or an error of its own that is not 0. A power cut leaves
 * units and sectors with any content. Reading them is not an error: where error correction refuses such a unit, the driver
 * gives zeros for it. An error of `read` says that the flash cannot be reached. */
#ifndef KILOGRAD_FLASH_H
#define KILOGRAD_FLASH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Largest unit of a program that is supported: a page of common serial flash. */
#define KG_FLASH_MAX_PROGRAM 256

typedef struct kg_flash {
  void *context; /* handed to every function */
  uint32_t sector_bytes;
  uint32_t sectors;
  uint32_t program_bytes; /* smallest unit of a program */
  int32_t (*read)(void *context, uint32_t offset, void *data, uint32_t bytes);
  int32_t (*program)(void *context, uint32_t offset, const void *data, uint32_t bytes);
  int32_t (*erase)(void *context, uint32_t sector);
} kg_flash;

#ifdef __cplusplus
}
#endif

#endif
