/* All memory is allocated exactly, so that sanitizers find one byte beyond. */
#include "board.h"

#include <stdlib.h>
#include <string.h>

uint32_t kg_crc32(const uint8_t *bytes, uint32_t count);

static uint8_t *allocate(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, KG_ALIGNMENT, bytes ? bytes : 1) != 0) abort();
  memset(p, 0, bytes ? bytes : 1);
  return p;
}

static kg_link_status save(void *context) {
  board *b = context;
  if (b->busy && b->busy--) return KG_LINK_BUSY;
  free(b->saved);
  b->saved_bytes = b->plan.state_bytes;
  b->saved = allocate(b->saved_bytes);
  memcpy(b->saved, b->state, b->saved_bytes);
  b->has_saved += 1;
  b->erases += 1;
  return KG_LINK_OK;
}

static kg_link_status load(void *context) {
  board *b = context;
  if (!b->has_saved || b->saved_bytes != b->plan.state_bytes) return KG_LINK_NOTHING_SAVED;
  memcpy(b->state, b->saved, b->saved_bytes);
  return KG_LINK_OK;
}

static kg_link_status factory_reset(void *context) {
  ((board *)context)->has_saved = 0;
  return KG_LINK_OK;
}

static void statistics(void *context, kg_link_statistics *s) {
  const board *b = context;
  *s = (kg_link_statistics){.stack_bytes = 4096, .stack_used = 1234, .erases = b->erases, .saved_sequence = b->has_saved};
}

static uint64_t ticks(void *context) { return ((board *)context)->ticks += 1000; }

static kg_link_status plan_begin(void *context, uint32_t bytes, uint32_t crc) {
  board *b = context;
  free(b->update);
  b->update = allocate(bytes);
  b->update_bytes = bytes;
  b->update_crc = crc;
  b->update_at = 0;
  return KG_LINK_OK;
}

static kg_link_status plan_write(void *context, uint32_t offset, const uint8_t *data, uint32_t bytes) {
  board *b = context;
  if (offset != b->update_at || bytes > b->update_bytes - offset) abort(); /* the link promises order */
  memcpy(b->update + offset, data, bytes);
  b->update_at += bytes;
  return KG_LINK_OK;
}

static kg_link_status plan_commit(void *context, uint32_t *detail) {
  board *b = context;
  kg_plan plan;
  *detail = KG_BAD_CHECKSUM;
  if (b->update_at != b->update_bytes || kg_crc32(b->update, b->update_bytes) != b->update_crc) return KG_LINK_PLAN_REFUSED;
  *detail = (uint32_t)kg_plan_open(&plan, b->update, b->update_bytes);
  if (*detail != KG_OK) return KG_LINK_PLAN_REFUSED;
  *detail = plan.state_bytes + plan.arena_bytes;
  if (plan.state_bytes > b->state_room || plan.arena_bytes > b->arena_room) return KG_LINK_TOO_SMALL;
  free(b->file);
  b->file = b->update;
  b->update = NULL;
  b->update_bytes = 0;
  b->plan = plan;
  b->has_saved = 0;
  return kg_session_init(&b->session, &b->plan, b->state, b->state_room, b->arena, b->arena_room) == KG_OK ? KG_LINK_OK
                                                                                                           : KG_LINK_PLAN_REFUSED;
}

board *board_new(const uint8_t *file, uint32_t bytes, uint32_t payload, void (*write)(void *, const uint8_t *, uint32_t)) {
  board *b = calloc(1, sizeof *b);
  kg_link_app *app = calloc(1, sizeof *app);
  if (!b || !app) abort();
  *app = (kg_link_app){.context = b,
                       .save = save,
                       .load = load,
                       .factory_reset = factory_reset,
                       .statistics = statistics,
                       .ticks = ticks,
                       .ticks_unit = KG_LINK_INSTRUCTIONS,
                       .plan_begin = plan_begin,
                       .plan_write = plan_write,
                       .plan_commit = plan_commit,
                       .plan_unit = BOARD_PLAN_UNIT,
                       .plan_bytes = BOARD_PLAN_ROOM};
  b->request = allocate(KG_LINK_BUFFER(payload));
  b->answer = allocate(KG_LINK_BUFFER(payload));
  const kg_link_config config = {.request = b->request,
                                 .request_bytes = KG_LINK_BUFFER(payload),
                                 .answer = b->answer,
                                 .answer_bytes = KG_LINK_BUFFER(payload),
                                 .write = write,
                                 .write_context = b,
                                 .board = "memory",
                                 .app = app};
  if (bytes) {
    b->file = allocate(bytes);
    memcpy(b->file, file, bytes);
    if (kg_plan_open(&b->plan, b->file, bytes) != KG_OK) return NULL;
    b->state_room = b->plan.state_bytes;
    b->arena_room = b->plan.arena_bytes;
    b->state = allocate(b->state_room);
    b->arena = allocate(b->arena_room);
    if (kg_session_init(&b->session, &b->plan, b->state, b->state_room, b->arena, b->arena_room) != KG_OK) return NULL;
  }
  return kg_link_init(&b->link, &b->session, &config) == KG_OK ? b : NULL;
}

void board_delete(board *b) {
  uint8_t *memory[] = {b->request, b->answer, b->file, b->state, b->arena, b->saved, b->update};
  for (size_t i = 0; i < sizeof memory / sizeof memory[0]; ++i) free(memory[i]);
  free((void *)(uintptr_t)b->link.config.app);
  free(b);
}
