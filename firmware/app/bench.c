/* The bench: runs the plan on samples that a small generator makes, and prints what every run took and left behind.
 * kilograd.device.bench has the same generator and compares with the simulator, line by line. */
#include "board.h"
#include "kilograd/kilograd.h"
#include "memory.h"
#include "session/format.h"
#include "text.h"

typedef struct bench {
  kg_plan plan;
  kg_session session;
  uint32_t random;
} bench;

static uint32_t draw(bench *b) { return b->random = b->random * 1664525u + 1013904223u; }

/* The same bytes everywhere: int8 values from the top of a linear congruence; floats are those values / 32. */
static void fill(bench *b, const kg_tensor *t) {
  uint8_t *data = kg_tensor_data(&b->session, t);
  if (t->dtype == KG_FLOAT32) {
    for (uint32_t i = 0; i < t->bytes / 4u; ++i) ((float *)(void *)data)[i] = (float)(int8_t)(draw(b) >> 24) * 0.03125f;
    return;
  }
  for (uint32_t i = 0; i < t->bytes; ++i) data[i] = (uint8_t)(draw(b) >> 24);
}

static void sample(bench *b, uint32_t index) {
  kg_tensor t;
  b->random = index + 1u;
  for (uint32_t i = 0; kg_plan_input(&b->plan, i, &t) == KG_OK; ++i) fill(b, &t);
}

static void label(bench *b) {
  kg_tensor t, output;
  if (kg_plan_label(&b->plan, &t) != KG_OK || kg_plan_output(&b->plan, 0, &output) != KG_OK) return;
  if (t.dtype != KG_INT32) {
    fill(b, &t);
    return;
  }
  const uint32_t classes = output.rank ? (uint32_t)output.dims[output.rank - 1] : 1u;
  *(int32_t *)kg_tensor_data(&b->session, &t) = (int32_t)((draw(b) >> 16) % classes);
}

static void value(const char *name, uint32_t number) {
  kg_text(name);
  kg_text(" ");
  kg_number(number);
}

static void checksum(const void *data, uint32_t bytes) {
  kg_text(" ");
  kg_hex(kg_crc32(data, bytes));
}

/* A loop of exactly 2 * rounds instructions, to see what ticks are worth. */
static __attribute__((noinline)) void known_loop(uint32_t rounds) {
#if defined(__riscv)
  __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(rounds));
#else
  __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(rounds) : : "cc");
#endif
}

static void calibrate(void) {
  for (uint32_t rounds = 1000; rounds <= 4000; rounds *= 2) {
    const uint32_t start = kg_ticks();
    known_loop(rounds);
    const uint32_t ticks = kg_ticks() - start;
    value("loop", 2u * rounds);
    value("", ticks);
    kg_text("\n");
  }
}

static void infer(bench *b, uint32_t entry) {
  kg_tensor output;
  for (uint32_t i = 0; i < KG_BENCH_SAMPLES; ++i) {
    sample(b, i);
    const uint32_t start = kg_ticks();
    kg_run(&b->session, entry);
    value("infer", kg_ticks() - start);
    for (uint32_t k = 0; kg_plan_output(&b->plan, k, &output) == KG_OK; ++k)
      checksum(kg_tensor_read(&b->session, &output), output.bytes);
    kg_text("\n");
  }
}

static void train(bench *b, uint32_t entry) {
  for (uint32_t i = 0; i < KG_BENCH_SAMPLES; ++i) {
    sample(b, i);
    label(b);
    const uint32_t start = kg_ticks();
    kg_run(&b->session, entry);
    value("step", kg_ticks() - start);
    kg_step_result result = {0, 0, 0};
    (void)kg_last_step(&b->session, &result);
    kg_text(" ");
    kg_hex((uint32_t)result.loss);
    checksum(b->session.state, b->plan.state_bytes);
    kg_text("\n");
  }
}

static void tensors(const bench *b) {
  kg_tensor t;
  for (uint32_t i = 0; kg_plan_tensor(&b->plan, i, &t) == KG_OK; ++i) {
    if (t.kind != KG_STATE) continue;
    value("tensor", i);
    checksum(kg_tensor_read(&b->session, &t), t.bytes);
    kg_text("\n");
  }
}

/* Says hello every half second until the host answers with a byte. */
static void wait_for_host(void) {
  int32_t answer = -1;
  while (answer < 0) {
    kg_text("kilograd bench 1\n");
    const uint32_t start = kg_ticks();
    while (answer < 0 && kg_ticks() - start < KG_TICKS_HZ / 2u) answer = kg_uart_read();
  }
}

int main(void) {
  bench b;
  uint32_t entry;
  kg_board_init();
  wait_for_host();
  kg_status status = kg_plan_open(&b.plan, kg_embedded_plan, kg_embedded_plan_bytes());
  if (status == KG_OK) status = kg_session_init(&b.session, &b.plan, kg_app_state, KG_STATE_BYTES, kg_app_arena, KG_ARENA_BYTES);
  if (status != KG_OK) {
    kg_text("error ");
    kg_text(kg_status_text(status));
    kg_text("\n");
    return 1;
  }
  calibrate();
  if (kg_plan_find_entry(&b.plan, "infer", &entry) == KG_OK) infer(&b, entry);
  if (kg_plan_find_entry(&b.plan, "train_step", &entry) == KG_OK) train(&b, entry);
  tensors(&b);
  value("stack", kg_stack_used());
  kg_text("\nend\n");
  return 0;
}
