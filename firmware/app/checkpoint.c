/* What was learned, kept in the board's flash. */
#include "app.h"
#include "memory.h"

#if KG_STORE_SECTORS > 0

static kg_link_status told(kg_store_status status) {
  switch (status) {
  case KG_STORE_OK: return KG_LINK_OK;
  case KG_STORE_EMPTY:
  case KG_STORE_OTHER_PLAN:
  case KG_STORE_OTHER_SIZE:
  case KG_STORE_OTHER_VERSION: return KG_LINK_NOTHING_SAVED;
  case KG_STORE_TOO_SMALL:
  case KG_STORE_FULL: return KG_LINK_FLASH_FULL;
  case KG_STORE_BUSY:
  case KG_STORE_CHANGED: return KG_LINK_BUSY;
  default: return KG_LINK_FLASH_ERROR;
  }
}

void kg_app_open_store(kg_app *app) {
  kg_board_flash(&app->flash);
  app->checkpoints = app->flash;
  app->checkpoints.sectors = KG_STORE_SECTORS;
  kg_store_status found = kg_store_open(&app->store, &app->checkpoints, app->plan.state_bytes, kg_app_plan_checksum(&app->plan));
  if (found != KG_STORE_OK || app->plan.state_bytes == 0) return;
  found = kg_store_load(&app->store, app->session.state);
  if (found != KG_STORE_OK) kg_session_reset(&app->session);
}

static kg_store_status save(kg_app *app) {
#if KG_SNAPSHOT_BYTES > 0
  const kg_store_status status = kg_store_begin(&app->store, app->session.state, kg_app_snapshot);
  if (status == KG_STORE_OK) app->saving = KG_LINK_SAVING;
  return status;
#else
  return kg_store_save(&app->store, app->session.state);
#endif
}

kg_link_status kg_app_save(void *context) {
  kg_app *app = context;
  if (app->plan.state_bytes == 0) return KG_LINK_CANNOT_TRAIN; /* there is nothing to keep */
  kg_store_status status = save(app);
  if (status == KG_STORE_FULL) { /* of a plan that is not here any more */
    status = kg_store_forget(&app->store);
    if (status == KG_STORE_OK) status = save(app);
  }
  return told(status);
}

#if KG_SNAPSHOT_BYTES > 0

#ifndef KG_SAVE_QUIET_MS
#define KG_SAVE_QUIET_MS 2 /* more than 20 bytes at 115200 baud */
#endif

void kg_app_save_step(kg_app *app) {
  if (app->saving != KG_LINK_SAVING) return;
  const kg_store_status status = kg_store_step(&app->store);
  if (status != KG_STORE_MORE) app->saving = status == KG_STORE_OK ? KG_LINK_NOT_SAVING : KG_LINK_SAVE_FAILED;
}

void kg_app_save_idle(kg_app *app, int32_t busy) {
  if (!busy && kg_ticks() - app->quiet_since < KG_TICKS_HZ / 1000u * KG_SAVE_QUIET_MS) return;
  if (!busy) kg_app_save_step(app);
  app->quiet_since = kg_ticks();
}

#endif

kg_link_status kg_app_load(void *context) {
  kg_app *app = context;
  if (app->plan.state_bytes == 0) return KG_LINK_CANNOT_TRAIN;
  if (app->saving == KG_LINK_SAVING) return KG_LINK_BUSY; /* what is asked for is what is being saved */
  const kg_store_status status = kg_store_load(&app->store, app->session.state);
  const kg_link_status answer = told(status);
  if (answer == KG_LINK_FLASH_ERROR) kg_session_reset(&app->session); /* half a state is no state */
  return answer;
}

kg_link_status kg_app_forget(void *context) { return told(kg_store_forget(&((kg_app *)context)->store)); }

void kg_app_store_statistics(const kg_app *app, kg_link_statistics *statistics) {
  kg_store_statistics s;
  kg_store_get_statistics(&app->store, &s);
  statistics->erases = s.erases;
  statistics->saved_sequence = s.sequence;
  statistics->saving = app->saving;
}

#else

void kg_app_open_store(kg_app *app) { (void)app; }

void kg_app_store_statistics(const kg_app *app, kg_link_statistics *statistics) {
  (void)app;
  (void)statistics;
}

#endif
