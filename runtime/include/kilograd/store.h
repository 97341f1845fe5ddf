/* Remembering: checkpoints of the state in flash that outlive a power cut at any moment.
 *
 *     kg_store store;
 *     kg_store_status found = kg_store_open(&store, &flash, plan.state_bytes, plan_checksum);
 *     if (found == KG_STORE_OK) found = kg_store_load(&store, state);
 *     if (found != KG_STORE_OK) kg_session_reset(&session);           factory state
 *     ...
 *     kg_store_save(&store, state);                                   all at once, or in pages while training goes on:
 *
 *     kg_store_begin(&store, state, snapshot);                        copies the state into the snapshot
 *     while (kg_store_step(&store) == KG_STORE_MORE) train();         one page or one erase for each call
 *
 * The promise: whenever the power fails, the state found afterwards is the one of the last save that gave KG_STORE_OK, or of
 * one that was begun after it. It is never a mixture, never an older one, and saving goes on from there.
 *
 * A checkpoint is the whole state segment of a session: learned weights, exponents, step count and seed, which is the position
 * in the random stream; so training goes on from it bit for bit. Checkpoints follow each other in a ring through the area,
 * which spreads the wear: without power cuts the erases of any two sectors differ by one at most. docs/store.md
 * has the bytes and the reasons.
 *
 * No heap, no global variables: the caller owns everything. One store belongs to one thread at a time. */
#ifndef KILOGRAD_STORE_H
#define KILOGRAD_STORE_H

#include "kilograd/flash.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kg_store_status {
  KG_STORE_OK = 0,
  KG_STORE_MORE,           /* kg_store_step: call again */
  KG_STORE_EMPTY,          /* nothing was saved yet, or it was forgotten */
  KG_STORE_OTHER_PLAN,     /* the newest checkpoint belongs to another plan */
  KG_STORE_OTHER_SIZE,     /* the newest checkpoint is of this plan, and has another number of bytes */
  KG_STORE_OTHER_VERSION,  /* there are checkpoints, all in a layout that this version does not know */
  KG_STORE_TOO_SMALL,      /* the area cannot hold two checkpoints of this size */
  KG_STORE_FULL,           /* the area was made smaller and what is saved leaves no room: kg_store_forget gives it up */
  KG_STORE_CHANGED,        /* the memory changed during a save in steps: nothing was saved */
  KG_STORE_BUSY,           /* a save in steps is under way: finish it, or kg_store_cancel */
  KG_STORE_READ_FAILED,    /* the driver said so */
  KG_STORE_PROGRAM_FAILED, /* the driver said so, or the flash reads back differently */
  KG_STORE_ERASE_FAILED,   /* the driver said so */
  KG_STORE_BAD_FLASH,      /* sizes or functions in kg_flash that make no sense */
  KG_STORE_BAD_ARGUMENT,   /* a null pointer, or a step without a begin */
  KG_STORE_REFUSED         /* kilograd/plan_slot.h: what arrived is not the plan that was announced */
} kg_store_status;

/* The status in words. */
const char *kg_store_status_text(kg_store_status status);

/* Where a checkpoint is; for the use of the store. */
typedef struct kg_store_place {
  uint32_t sector;  /* the first */
  uint32_t sectors; /* how many: they go on at the start of the area after its end */
  uint32_t sequence;
  uint32_t bytes; /* of the state; 0 for a mark that all was forgotten */
  uint32_t plan_checksum;
  uint32_t checksum; /* of the state */
  uint32_t erases;   /* of the whole area, when it was written */
} kg_store_place;

typedef struct kg_store {
  const kg_flash *flash;
  uint32_t state_bytes, plan_checksum;
  kg_store_status found;  /* what kg_store_load will say */
  uint32_t has_newest;    /* a checkpoint is there */
  uint32_t has_kept;      /* the newest may have been torn, and there is one before it */
  kg_store_place newest;  /* what a load gives */
  kg_store_place kept;    /* what the next save must not touch */
  kg_store_place writing; /* the save under way */
  const uint8_t *source;
  uint32_t phase, done;   /* of the save under way */
  uint32_t checksum;      /* of what was written so far */
  uint32_t last_sequence; /* the highest ever given to a checkpoint */
  uint32_t erases;        /* of all sectors of the area together */
} kg_store;

/* Look for the newest checkpoint. KG_STORE_OK: it is one for this plan. KG_STORE_EMPTY, _OTHER_PLAN, _OTHER_SIZE, _OTHER_VERSION:
 * there is none to load; flash is left alone, and saving works. KG_STORE_READ_FAILED: parts of the flash could not be reached, so that
 * there may be a newer one; the store works with what could be read, and opening again is better. After _TOO_SMALL, _BAD_FLASH
 * and _BAD_ARGUMENT the store cannot be used: every other function gives the same status again. `flash` must stay where it is. */
kg_store_status kg_store_open(kg_store *store, const kg_flash *flash, uint32_t state_bytes, uint32_t plan_checksum);

/* Copy the newest checkpoint into `state` and check it there. The checkpoint was read once by kg_store_open, so that this fails only
 * when the flash does; `state` is not to be used then. */
kg_store_status kg_store_load(kg_store *store, void *state);

/* Save the state, all at once. After an error the flash holds the checkpoint before, or, when the driver failed at the very end, the
 * new one; the next save tries again in the same place. */
kg_store_status kg_store_save(kg_store *store, const void *state);

/* Begin to save in steps. With a snapshot, memory of state_bytes, the state is copied there at once, and training can go on. With NULL
 * the state itself is written, and must stay as it is until the last step: should it change, the save ends with
 * KG_STORE_CHANGED and nothing is saved. */
kg_store_status kg_store_begin(kg_store *store, const void *state, void *snapshot);
/* One erase of a sector or one program of a page at most. KG_STORE_MORE until it gives KG_STORE_OK, saved, or an error, given up. */
kg_store_status kg_store_step(kg_store *store);
/* Give up a save in steps. */
void kg_store_cancel(kg_store *store);

/* Forget everything saved, as one act: after a power cut either nothing was forgotten or all. Then the flash is erased too. */
kg_store_status kg_store_forget(kg_store *store);

typedef struct kg_store_statistics {
  uint32_t sequence;         /* number of the newest checkpoint, 0 when there is none; it begins at 1 and wraps */
  uint32_t erases;           /* of all sectors together, over the life of the area; a power cut may lose those of one save */
  uint32_t sectors;          /* of the area: erases / sectors is the wear */
  uint32_t checkpoint_bytes; /* of flash for each checkpoint, whole sectors */
  uint32_t ring;             /* whole checkpoints that the area holds */
} kg_store_statistics;

void kg_store_get_statistics(const kg_store *store, kg_store_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
