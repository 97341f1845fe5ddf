/* NOR flash on the host, with the ways in which a power cut leaves it. */
#ifndef FLASH_MODEL_H
#define FLASH_MODEL_H

#include <stdint.h>

#include "kilograd/flash.h"

/* What is left of the store (one unit programmed, or one sector erased) in which the power fails. */
enum tear {
  TEAR_BEFORE,   /* nothing done */
  TEAR_AFTER,    /* done, and nothing after it */
  TEAR_PART,     /* the first bytes done */
  TEAR_BITS,     /* any of the bits that were to change have changed */
  TEAR_GARBAGE,  /* any bits at all */
  TEAR_UNSTABLE, /* the bits that were to change read differently after every start: first as done, then at random */
  TEARS
};

typedef struct flash_model {
  kg_flash flash; /* the driver to hand out */
  uint8_t *cells, *unstable, *programmed;
  uint32_t *erases; /* of each sector */
  uint64_t random;
  uint32_t stores;               /* so far */
  uint32_t cut_at;               /* the power fails in the store of this number, from 1; 0: never */
  uint32_t tear;                 /* and leaves this */
  uint32_t dead;                 /* no power: nothing works */
  uint32_t starts;               /* since an unstable tear */
  uint32_t calls[3], fail_at[3]; /* read, program, erase: number of the call that the driver refuses, from 1 */
  uint32_t lie_at;               /* program call that changes nothing and says that all is well */
  uint32_t violations;           /* rules of kilograd/flash.h that the caller broke */
} flash_model;

flash_model *flash_new(uint32_t sector_bytes, uint32_t sectors, uint32_t program_bytes, uint64_t seed);
void flash_free(flash_model *model);
void flash_copy(flash_model *to, const flash_model *from); /* of the same geometry */
void flash_restart(flash_model *model);                    /* power is back, for good */
uint64_t flash_random(flash_model *model);
const kg_flash *flash_driver(flash_model *model);

#endif
