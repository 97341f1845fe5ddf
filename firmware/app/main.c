/* Firmware that infers, learns and remembers: it opens a plan, takes up what it learned before, and does what the host asks for. */
#include "app.h"
#include "memory.h"

static kg_app app;
static uint8_t request[KG_LINK_BUFFER(KG_LINK_FRAME_BYTES)], answer[KG_LINK_BUFFER(KG_LINK_FRAME_BYTES)];

static void send(void *context, const uint8_t *bytes, uint32_t count) {
  (void)context;
  kg_uart_write(bytes, count);
}

/* Ticks in 64 bits. An emulated board tells instructions: each takes 2^KG_ICOUNT_SHIFT nanoseconds there. */
static uint64_t ticks(void *context) {
  kg_app *a = context;
  const uint32_t now = kg_ticks();
  if (now < a->ticks_last) a->ticks_high += (uint64_t)1 << 32;
  a->ticks_last = now;
  const uint64_t all = a->ticks_high + now;
#if KG_EMULATED
  return ((all / KG_TICKS_HZ * 1000000000u + all % KG_TICKS_HZ * 1000000000u / KG_TICKS_HZ) >> KG_ICOUNT_SHIFT);
#else
  return all;
#endif
}

static void statistics(void *context, kg_link_statistics *s) {
  s->stack_bytes = kg_stack_bytes();
  s->stack_used = kg_stack_used();
  kg_app_store_statistics(context, s);
}

static const kg_link_app hooks = {
    .context = &app,
#if KG_STORE_SECTORS > 0
    .save = kg_app_save,
    .load = kg_app_load,
    .factory_reset = kg_app_forget,
#endif
    .statistics = statistics,
    .ticks = ticks,
#if KG_EMULATED
    .ticks_unit = KG_LINK_INSTRUCTIONS,
#else
    .ticks_unit = KG_TICKS_HZ == KG_CLOCK_HZ ? KG_LINK_CYCLES : KG_LINK_MICROSECONDS,
#endif
#if KG_STORE_PLAN_SECTORS > 0
    .plan_begin = kg_app_plan_begin,
    .plan_write = kg_app_plan_write,
    .plan_commit = kg_app_plan_commit,
    .plan_unit = KG_STORE_PROGRAM_BYTES,
    .plan_bytes = (KG_STORE_PLAN_SECTORS / 2u) * KG_STORE_SECTOR_BYTES - KG_PLAN_SLOT_OVERHEAD,
#endif
};

uint32_t kg_app_plan_checksum(const kg_plan *plan) {
  const uint8_t *p = plan->file + 12;
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

kg_status kg_app_attach(kg_app *a) {
  const kg_status status = kg_session_init(&a->session, &a->plan, kg_app_state, KG_STATE_BYTES, kg_app_arena, KG_ARENA_BYTES);
  if (status != KG_OK) return status;
  kg_app_open_store(a);
  return KG_OK;
}

int main(void) {
  kg_board_init();
  kg_status status = kg_app_open_plan(&app);
  if (status == KG_OK) status = kg_app_attach(&app);
  if (status != KG_OK) app.session.plan = 0; /* the host can still ask, and send another plan */
  const kg_link_config config = {
      .request = request,
      .request_bytes = sizeof request,
      .answer = answer,
      .answer_bytes = sizeof answer,
      .write = send,
      .board = KG_BOARD_NAME,
      .app = &hooks,
  };
  if (kg_link_init(&app.link, &app.session, &config) != KG_OK) return 1;
  for (;;) {
    const int32_t byte = kg_uart_read();
    if (byte >= 0) kg_link_receive(&app.link, (uint8_t)byte);
#if KG_SNAPSHOT_BYTES > 0
    /* a host that has sent its request waits for the answer: no byte is lost meanwhile, and a host that never rests cannot hold up a save */
    if (app.link.ready) kg_app_save_step(&app);
    const int32_t worked = kg_link_poll(&app.link);
    kg_app_save_idle(&app, byte >= 0 || worked);
#else
    (void)kg_link_poll(&app.link);
#endif
  }
}
