/* A new plan from the host into flash: begin, chunks in order, commit. The application stores and judges it. */
#include "frame.h"

/* Detail of KG_LINK_BAD_ORDER when no plan was begun. */
#define NOT_BEGUN 0xFFFFFFFFu

static kg_link_status begin(kg_link *link, const kg_link_app *app, kg_exchange *x) {
  if (x->in_bytes != 8) return KG_LINK_BAD_REQUEST;
  const uint32_t bytes = kg_get32(x->in);
  x->detail = app->plan_bytes;
  if (bytes == 0) return KG_LINK_BAD_REQUEST;
  if (bytes > app->plan_bytes) return KG_LINK_FLASH_FULL;
  link->plan_size = 0;
  link->plan_at = 0;
  const kg_link_status status = app->plan_begin(app->context, bytes, kg_get32(x->in + 4));
  if (status == KG_LINK_OK) link->plan_size = bytes;
  return status;
}

static kg_link_status chunk(kg_link *link, const kg_link_app *app, kg_exchange *x) {
  if (x->in_bytes < 5) return KG_LINK_BAD_REQUEST;
  const uint32_t offset = kg_get32(x->in), bytes = x->in_bytes - 4, unit = app->plan_unit ? app->plan_unit : 1;
  x->detail = link->plan_at;
  if (offset != link->plan_at) return KG_LINK_BAD_ORDER;
  x->detail = link->plan_size;
  if (bytes > link->plan_size - offset) return KG_LINK_OUT_OF_RANGE;
  if (bytes % unit != 0 && offset + bytes != link->plan_size) return KG_LINK_BAD_REQUEST;
  const kg_link_status status = app->plan_write(app->context, offset, x->in + 4, bytes);
  if (status == KG_LINK_OK) link->plan_at += bytes;
  return status;
}

static kg_link_status commit(kg_link *link, const kg_link_app *app, kg_exchange *x) {
  if (x->in_bytes != 0) return KG_LINK_BAD_REQUEST;
  x->detail = link->plan_at;
  if (link->plan_at != link->plan_size) return KG_LINK_BAD_ORDER;
  x->detail = 0;
  const kg_link_status status = app->plan_commit(app->context, &x->detail);
  if (status != KG_LINK_BUSY) link->plan_size = 0;
  return status;
}

kg_link_status kg_link_plan_update(kg_link *link, uint32_t type, kg_exchange *x) {
  const kg_link_app *app = link->config.app;
  if (!app || !app->plan_begin || !app->plan_write || !app->plan_commit) return KG_LINK_UNSUPPORTED;
  if (type == KG_LINK_PLAN_BEGIN) return begin(link, app, x);
  x->detail = NOT_BEGUN;
  if (link->plan_size == 0) return KG_LINK_BAD_ORDER;
  return type == KG_LINK_PLAN_WRITE ? chunk(link, app, x) : commit(link, app, x);
}
