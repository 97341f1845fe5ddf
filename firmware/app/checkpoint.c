/* What was learned, kept in the board's flash. */
#include "app.h"

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

kg_link_status kg_app_save(void *context) {
  kg_app *app = context;
  if (app->plan.state_bytes == 0) return KG_LINK_CANNOT_TRAIN; /* there is nothing to keep */
  kg_store_status status = kg_store_save(&app->store, app->session.state);
  if (status == KG_STORE_FULL) { /* of a plan that is not here any more */
    status = kg_store_forget(&app->store);
    if (status == KG_STORE_OK) status = kg_store_save(&app->store, app->session.state);
  }
  return told(status);
}

kg_link_status kg_app_load(void *context) {
  kg_app *app = context;
  if (app->plan.state_bytes == 0) return KG_LINK_CANNOT_TRAIN;
  const kg_store_status status = kg_store_load(&app->store, app->session.state);
  const kg_link_status answer = told(status);
  if (answer == KG_LINK_FLASH_ERROR) kg_session_reset(&app->session); /* half a state is no state */
  return answer;
}

kg_link_status kg_app_forget(void *context) { return told(kg_store_forget(&((kg_app *)context)->store)); }

uint32_t kg_app_erases(const kg_app *app, uint32_t *sequence) {
  kg_store_statistics s;
  kg_store_get_statistics(&app->store, &s);
  *sequence = s.sequence;
  return s.erases;
}

#else

void kg_app_open_store(kg_app *app) { (void)app; }

uint32_t kg_app_erases(const kg_app *app, uint32_t *sequence) {
  (void)app;
  *sequence = 0;
  return 0;
}

#endif
