/* Plans that arrive over the link. kilograd/plan_slot.h keeps them, in the sectors behind the checkpoints; here is what this firmware
 * asks of a plan: that it fits the memory which was reserved when the firmware was built. */
#include "app.h"
#include "memory.h"

#if KG_STORE_PLAN_SECTORS > 0

#define AREA_OFFSET (KG_STORE_SECTORS * KG_STORE_SECTOR_BYTES)

static const kg_flash *whole(void *context) { return &((const kg_app *)context)->flash; }

static int32_t area_read(void *context, uint32_t offset, void *data, uint32_t bytes) {
  return whole(context)->read(whole(context)->context, AREA_OFFSET + offset, data, bytes);
}

static int32_t area_program(void *context, uint32_t offset, const void *data, uint32_t bytes) {
  return whole(context)->program(whole(context)->context, AREA_OFFSET + offset, data, bytes);
}

static int32_t area_erase(void *context, uint32_t sector) {
  return whole(context)->erase(whole(context)->context, KG_STORE_SECTORS + sector);
}

static int32_t fits(const kg_plan *plan) { return plan->state_bytes <= KG_STATE_BYTES && plan->arena_bytes <= KG_ARENA_BYTES; }

/* New firmware with another plan built in does not go back to plans that the old one took: its built-in plan tells builds apart. */
static kg_store_status open_slot(kg_app *app) {
  kg_plan built_in = {.file = kg_embedded_plan};
  kg_board_flash(&app->flash);
  app->plan_area = app->flash;
  app->plan_area.context = app;
  app->plan_area.sectors = KG_STORE_PLAN_SECTORS;
  app->plan_area.read = area_read;
  app->plan_area.program = area_program;
  app->plan_area.erase = area_erase;
  return kg_plan_slot_open(&app->slot, &app->plan_area, (const void *)(uintptr_t)(KG_STORE_ORIGIN + AREA_OFFSET),
                           kg_app_plan_checksum(&built_in), &app->plan);
}

kg_status kg_app_open_plan(kg_app *app) {
  if (open_slot(app) == KG_STORE_OK && fits(&app->plan)) return KG_OK;
  return kg_plan_open(&app->plan, kg_embedded_plan, kg_embedded_plan_bytes());
}

static kg_link_status told(kg_store_status status) {
  switch (status) {
  case KG_STORE_OK: return KG_LINK_OK;
  case KG_STORE_TOO_SMALL: return KG_LINK_FLASH_FULL;
  case KG_STORE_REFUSED: return KG_LINK_PLAN_REFUSED;
  default: return KG_LINK_FLASH_ERROR;
  }
}

kg_link_status kg_app_plan_begin(void *context, uint32_t bytes, uint32_t crc) {
  return told(kg_plan_slot_begin(&((kg_app *)context)->slot, bytes, crc));
}

kg_link_status kg_app_plan_write(void *context, uint32_t offset, const uint8_t *data, uint32_t bytes) {
  return told(kg_plan_slot_write(&((kg_app *)context)->slot, offset, data, bytes));
}

kg_link_status kg_app_plan_commit(void *context, uint32_t *detail) {
  kg_app *app = context;
  kg_plan arrived;
  kg_status why = KG_OK;
  kg_store_status status = kg_plan_slot_check(&app->slot, &arrived, &why);
  *detail = (uint32_t)why;
  if (status != KG_STORE_OK) return told(status);
#if KG_STORE_SECTORS > 0
  if (app->saving == KG_LINK_SAVING) return KG_LINK_BUSY; /* it saves what this plan learned */
#endif
  *detail = arrived.state_bytes + arrived.arena_bytes;
  if (!fits(&arrived)) return KG_LINK_TOO_SMALL;
  status = kg_plan_slot_commit(&app->slot, &app->plan, &why);
  *detail = (uint32_t)why;
  if (status != KG_STORE_OK) return told(status);
  *detail = (uint32_t)kg_app_attach(app);
  return *detail == KG_OK ? KG_LINK_OK : KG_LINK_PLAN_REFUSED;
}

#else

kg_status kg_app_open_plan(kg_app *app) { return kg_plan_open(&app->plan, kg_embedded_plan, kg_embedded_plan_bytes()); }

#endif
