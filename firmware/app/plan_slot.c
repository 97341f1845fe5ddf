/* Plans that arrive over the link: two slots behind the checkpoints. A new plan goes into the slot that is not in use; a header, written
 * last, makes it valid. Whatever happens before that, the plan that was active stays. A plan runs where it lies in flash. */
#include "app.h"
#include "memory.h"
#include "session/format.h"

#if KG_STORE_PLAN_SECTORS > 0

enum { BUILT_IN = 2, HEADER_WORDS = 8, DATA_OFFSET = KG_FLASH_MAX_PROGRAM };
enum { MAGIC, SEQUENCE, BYTES, PLAN_CRC, BUILT_IN_CRC, HEADER_CRC };

#define SLOT_SECTORS (KG_STORE_PLAN_SECTORS / 2u)
#define SLOT_BYTES (SLOT_SECTORS * KG_STORE_SECTOR_BYTES)
#define SLOT_MAGIC 0x5350474Bu /* "KGPS" */
/* Programs are this long, or up to the next multiple of it: then none crosses a sector. */
#define UNIT (KG_STORE_PROGRAM_BYTES > 64u ? KG_STORE_PROGRAM_BYTES : 64u)

_Static_assert(KG_STORE_SECTOR_BYTES % UNIT == 0 && UNIT <= DATA_OFFSET,
               "sectors hold whole programs, and a header fits before the plan");

static uint32_t slot_offset(uint32_t slot) { return (KG_STORE_SECTORS + slot * SLOT_SECTORS) * KG_STORE_SECTOR_BYTES; }

static const uint8_t *mapped(uint32_t offset) { return (const uint8_t *)(uintptr_t)(KG_STORE_ORIGIN + offset); }

static uint32_t built_in_crc(void) {
  const uint8_t *p = kg_embedded_plan + 12;
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The header of a slot; 0 when it is not valid. New firmware with another plan built in makes old slots invalid. */
static int32_t header(kg_app *app, uint32_t slot, uint32_t *words) {
  if (app->flash.read(app->flash.context, slot_offset(slot), words, 4 * HEADER_WORDS) != 0) return 0;
  if (words[MAGIC] != SLOT_MAGIC || words[BYTES] > kg_app_plan_room()) return 0;
  if (words[HEADER_CRC] != kg_crc32((const uint8_t *)words, 4 * HEADER_CRC)) return 0;
  return words[BUILT_IN_CRC] == built_in_crc();
}

static kg_status fits(const kg_plan *plan) {
  return plan->state_bytes <= KG_STATE_BYTES && plan->arena_bytes <= KG_ARENA_BYTES ? KG_OK : KG_TOO_SMALL;
}

uint32_t kg_app_plan_room(void) { return SLOT_BYTES - DATA_OFFSET; }

kg_status kg_app_open_plan(kg_app *app) {
  uint32_t words[2][HEADER_WORDS];
  int32_t valid[2];
  kg_board_flash(&app->flash);
  for (uint32_t s = 0; s < 2; ++s) valid[s] = header(app, s, words[s]);
  /* the newer one first; sequence numbers wrap */
  const uint32_t first = valid[1] && (!valid[0] || (int32_t)(words[1][SEQUENCE] - words[0][SEQUENCE]) > 0) ? 1u : 0u;
  for (uint32_t i = 0; i < 2; ++i) {
    const uint32_t slot = first ^ i;
    if (!valid[slot]) continue;
    app->slot = slot;
    app->slot_sequence = words[slot][SEQUENCE];
    if (kg_plan_open(&app->plan, mapped(slot_offset(slot) + DATA_OFFSET), words[slot][BYTES]) == KG_OK &&
        fits(&app->plan) == KG_OK)
      return KG_OK;
  }
  app->slot = BUILT_IN;
  app->slot_sequence = 0;
  for (uint32_t s = 0; s < 2; ++s)
    if (valid[s] && (int32_t)(words[s][SEQUENCE] - app->slot_sequence) > 0) app->slot_sequence = words[s][SEQUENCE];
  return kg_plan_open(&app->plan, kg_embedded_plan, kg_embedded_plan_bytes());
}

static uint32_t free_slot(const kg_app *app) { return app->slot == 0 ? 1u : 0u; }

static int32_t erase(kg_app *app, uint32_t offset) {
  return app->flash.erase(app->flash.context, offset / KG_STORE_SECTOR_BYTES);
}

kg_link_status kg_app_plan_begin(void *context, uint32_t bytes, uint32_t crc) {
  kg_app *app = context;
  app->new_bytes = bytes;
  app->new_crc = crc;
  return erase(app, slot_offset(free_slot(app))) == 0 ? KG_LINK_OK : KG_LINK_FLASH_ERROR;
}

/* Program up to one unit, padded with ones, through a buffer that is aligned as drivers want it; sectors are erased when they are reached. */
static int32_t program(kg_app *app, uint32_t at, const uint8_t *data, uint32_t bytes) {
  _Alignas(16) uint8_t unit[UNIT];
  const uint32_t whole = (bytes + KG_STORE_PROGRAM_BYTES - 1u) / KG_STORE_PROGRAM_BYTES * KG_STORE_PROGRAM_BYTES;
  for (uint32_t i = 0; i < whole; ++i) unit[i] = i < bytes ? data[i] : 0xFFu;
  if (at % KG_STORE_SECTOR_BYTES == 0 && at != slot_offset(free_slot(app)) && erase(app, at) != 0) return 1;
  return app->flash.program(app->flash.context, at, unit, whole);
}

kg_link_status kg_app_plan_write(void *context, uint32_t offset, const uint8_t *data, uint32_t bytes) {
  kg_app *app = context;
  const uint32_t start = slot_offset(free_slot(app)) + DATA_OFFSET + offset;
  for (uint32_t done = 0; done < bytes;) {
    const uint32_t room = UNIT - (start + done) % UNIT, left = bytes - done, n = left < room ? left : room;
    if (program(app, start + done, data + done, n) != 0) return KG_LINK_FLASH_ERROR;
    done += n;
  }
  return KG_LINK_OK;
}

kg_link_status kg_app_plan_commit(void *context, uint32_t *detail) {
  kg_app *app = context;
  const uint32_t slot = free_slot(app);
  const uint8_t *file = mapped(slot_offset(slot) + DATA_OFFSET);
  kg_plan plan;
  *detail = KG_BAD_CHECKSUM;
  if (kg_crc32(file, app->new_bytes) != app->new_crc) return KG_LINK_PLAN_REFUSED;
  const kg_status status = kg_plan_open(&plan, file, app->new_bytes);
  *detail = (uint32_t)status;
  if (status != KG_OK) return KG_LINK_PLAN_REFUSED;
  *detail = plan.state_bytes + plan.arena_bytes;
  if (fits(&plan) != KG_OK) return KG_LINK_TOO_SMALL;
  uint32_t words[HEADER_WORDS] = {SLOT_MAGIC, app->slot_sequence + 1u, app->new_bytes, app->new_crc, built_in_crc(), 0, 0, 0};
  words[HEADER_CRC] = kg_crc32((const uint8_t *)words, 4 * HEADER_CRC);
  *detail = 0;
  if (program(app, slot_offset(slot), (const uint8_t *)words, sizeof words) != 0) return KG_LINK_FLASH_ERROR;
  if (!header(app, slot, words)) return KG_LINK_FLASH_ERROR;
  app->slot = slot;
  app->slot_sequence = words[SEQUENCE];
  app->plan = plan;
  *detail = (uint32_t)kg_app_attach(app);
  return *detail == KG_OK ? KG_LINK_OK : KG_LINK_PLAN_REFUSED;
}

#else

kg_status kg_app_open_plan(kg_app *app) { return kg_plan_open(&app->plan, kg_embedded_plan, kg_embedded_plan_bytes()); }

#endif
