/* The application: one plan, one session, what it remembers, and the link that serves it. */
#ifndef KG_APP_H
#define KG_APP_H

#include "board.h"
#include "kilograd/kilograd.h"
#include "kilograd/link.h"
#include "kilograd/plan_slot.h"
#include "kilograd/store.h"

typedef struct kg_app {
  kg_plan plan;
  kg_session session;
  kg_link link;
#if KG_STORE_SECTORS > 0
  kg_flash flash;       /* the whole area */
  kg_flash checkpoints; /* its first KG_STORE_SECTORS sectors */
  kg_store store;
  uint32_t saving;      /* kg_link_saving */
  uint32_t quiet_since; /* ticks: no byte came and no page was written since */
#endif
#if KG_STORE_PLAN_SECTORS > 0
  kg_flash plan_area; /* the sectors behind the checkpoints */
  kg_plan_slot slot;
#endif
  uint64_t ticks_high;
  uint32_t ticks_last;
} kg_app;

/* CRC-32 that stands in the header of a plan file: it identifies the plan. */
uint32_t kg_app_plan_checksum(const kg_plan *plan);

/* Attach state and arena to app->plan: the newest checkpoint, or factory state. KG_TOO_SMALL: it needs more than was reserved. */
kg_status kg_app_attach(kg_app *app);

/* checkpoint.c: hooks of the link, `context` is the kg_app. */
void kg_app_open_store(kg_app *app);
kg_link_status kg_app_save(void *context);
/* One page or one erase of a save under way. */
void kg_app_save_step(kg_app *app);
/* The same, when the line has been quiet for a moment: between frames, not inside one. */
void kg_app_save_idle(kg_app *app, int32_t busy);
kg_link_status kg_app_load(void *context);
kg_link_status kg_app_forget(void *context);
void kg_app_store_statistics(const kg_app *app, kg_link_statistics *statistics);

/* new_plan.c: plans that come over the link. */
kg_status kg_app_open_plan(kg_app *app); /* the newest valid one, else the one that is built in */
kg_link_status kg_app_plan_begin(void *context, uint32_t bytes, uint32_t crc);
kg_link_status kg_app_plan_write(void *context, uint32_t offset, const uint8_t *data, uint32_t bytes);
kg_link_status kg_app_plan_commit(void *context, uint32_t *detail);

#endif
