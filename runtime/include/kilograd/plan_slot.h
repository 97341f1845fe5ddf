/* A place in flash for plans that arrive later: a new plan replaces the old one in one moment, or not at all.
 *
 *     kg_plan_slot slot;
 *     kg_plan plan;
 *     if (kg_plan_slot_open(&slot, &flash, mapped, firmware, &plan) != KG_STORE_OK) ...     use the plan that is built in
 *     ...
 *     kg_plan_slot_begin(&slot, bytes, crc);
 *     kg_plan_slot_write(&slot, offset, piece, n);                         from the first byte to the last
 *     kg_plan_slot_commit(&slot, &plan, &why);                             verified, then active
 *
 * The area is two halves. A plan goes into the half that is not active and runs where it lies; until the commit the old one stays
 * active, whatever fails, power included. docs/store.md has the bytes. */
#ifndef KILOGRAD_PLAN_SLOT_H
#define KILOGRAD_PLAN_SLOT_H

#include "kilograd/kilograd.h"
#include "kilograd/store.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KG_PLAN_SLOT_OVERHEAD 512 /* bytes of each half that are not for the plan file */

typedef struct kg_plan_slot {
  const kg_flash *flash;
  const uint8_t *mapped;
  uint32_t firmware;
  uint32_t active;   /* half, or 2: none */
  uint32_t sequence; /* the highest given */
  uint32_t bytes, crc, received;
  uint32_t receiving;
} kg_plan_slot;

/* Find the active plan and verify it. `mapped` is where the area lies in memory, aligned to KG_ALIGNMENT. `firmware` is any number that
 * tells builds apart: plans taken by another one are not used. KG_STORE_EMPTY: no plan has arrived, or none that is for this firmware. */
kg_store_status kg_plan_slot_open(kg_plan_slot *slot, const kg_flash *flash, const void *mapped, uint32_t firmware,
                                  kg_plan *plan);

/* Largest plan file that fits. */
uint32_t kg_plan_slot_room(const kg_plan_slot *slot);

/* A plan file of `bytes` will come, with this CRC-32 over all of it. KG_STORE_TOO_SMALL: it does not fit. */
kg_store_status kg_plan_slot_begin(kg_plan_slot *slot, uint32_t bytes, uint32_t crc);

/* The next piece: `offset` is where the one before ended, and `bytes` a multiple of flash->program_bytes, except in the last piece. */
kg_store_status kg_plan_slot_write(kg_plan_slot *slot, uint32_t offset, const void *data, uint32_t bytes);

/* Check what arrived, as the commit does, and leave it at that: for a caller who has conditions of its own, such as how much memory the
 * plan may need. KG_STORE_REFUSED: as below. */
kg_store_status kg_plan_slot_check(const kg_plan_slot *slot, kg_plan *arrived, kg_status *why);

/* Check what arrived, and make it active. KG_STORE_REFUSED: it is not complete, not what was announced, or kg_plan_open does not take it
 * (`why`, which may be NULL). The old plan's memory stays as it is until the next begin. */
kg_store_status kg_plan_slot_commit(kg_plan_slot *slot, kg_plan *plan, kg_status *why);

#ifdef __cplusplus
}
#endif

#endif
