/* Test program for the runtime, without Python: opens a plan file and runs it, as it is and damaged.
 *
 *   run_plan FILE            run every entry point a few times, print a checksum of the memory
 *   run_plan FILE truncate   open every prefix of the file
 *   run_plan FILE flip STEP  change every STEP-th byte in several ways, set the checksum right, open, and run
 * what is accepted run_plan FILE word STEP  the same with every STEP-th word set to extreme values
 *
 * Built with sanitizers, an access outside the memory ends it. State and arena are allocated exactly, so that
 * one byte beyond is found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kilograd/kilograd.h"

uint32_t kg_crc32(const uint8_t *bytes, uint32_t count);

static void *allocate(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, KG_ALIGNMENT, bytes ? bytes : 1) != 0) exit(3);
  return p;
}

static void put_word(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = (uint8_t)(v >> (8 * i));
}

static void fill(kg_session *s, uint32_t seed) {
  kg_tensor t;
  uint32_t v = seed * 2654435761u + 1;
  for (uint32_t i = 0; kg_plan_input(s->plan, i, &t) == KG_OK; ++i) {
    uint8_t *p = kg_tensor_data(s, &t);
    for (uint32_t k = 0; k < t.bytes; ++k) p[k] = (uint8_t)((v = v * 1664525u + 1013904223u) >> 24);
  }
  if (kg_plan_label(s->plan, &t) == KG_OK) {
    memset(kg_tensor_data(s, &t), 0, t.bytes);
    *(uint8_t *)kg_tensor_data(s, &t) = (uint8_t)(seed & 1);
  }
}

/* Run everything; gives a checksum of state and arena. */
static uint32_t run(const kg_plan *plan, uint32_t steps) {
  uint8_t *state = allocate(plan->state_bytes), *arena = allocate(plan->arena_bytes);
  kg_session session;
  uint32_t sum = 0, entry;
  memset(arena, 0, plan->arena_bytes);
  if (kg_session_init(&session, plan, state, plan->state_bytes, arena, plan->arena_bytes) == KG_OK) {
    for (uint32_t i = 0; i < steps; ++i) {
      kg_session_reset_variables(&session);
      fill(&session, i);
      if (kg_plan_find_entry(plan, "infer", &entry) == KG_OK) kg_run(&session, entry);
      fill(&session, i);
      if (kg_plan_find_entry(plan, "train_step", &entry) == KG_OK) kg_run(&session, entry);
    }
    sum = kg_crc32(state, plan->state_bytes) ^ kg_crc32(arena, plan->arena_bytes);
  }
  free(state);
  free(arena);
  return sum;
}

/* Open a damaged copy with its checksum set right, and run it if it is accepted. */
static uint32_t try_copy(uint8_t *copy, uint32_t size, uint32_t at) {
  kg_plan plan;
  if (at >= 16) put_word(copy + 12, kg_crc32(copy + 16, size - 16));
  if (kg_plan_open(&plan, copy, size) != KG_OK) return 0;
  if (plan.arena_bytes < 1u << 24) run(&plan, 2);
  return 1;
}

static int damage(const uint8_t *file, uint32_t size, uint32_t step, int words) {
  static const uint8_t change[] = {0x01, 0x80, 0xFF, 0x40};
  static const uint32_t value[] = {0u, 0x80000000u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x00010000u};
  const size_t kinds = words ? sizeof value / sizeof value[0] : sizeof change;
  uint8_t *copy = allocate(size);
  uint32_t tried = 0, accepted = 0;
  for (uint32_t at = 0; at + 4 <= size; at += words ? 4 * step : step) {
    for (size_t k = 0; k < kinds; ++k) {
      memcpy(copy, file, size);
      if (words)
        put_word(copy + at, value[k]);
      else
        copy[at] ^= change[k];
      accepted += try_copy(copy, size, at);
      ++tried;
    }
  }
  free(copy);
  printf("tried %u accepted %u\n", tried, accepted);
  return 0;
}

static int truncate_all(const uint8_t *file, uint32_t size) {
  kg_plan plan;
  for (uint32_t n = 0; n < size; n += n < 4096 ? 1 : 97) {
    uint8_t *copy = allocate(n);
    memcpy(copy, file, n);
    if (kg_plan_open(&plan, copy, n) == KG_OK) return 4;
    free(copy);
  }
  printf("every prefix refused\n");
  return 0;
}

int main(int argc, char **argv) {
  kg_plan plan;
  FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
  if (!f) return 2;
  fseek(f, 0, SEEK_END);
  const long size = ftell(f);
  uint8_t *file = allocate((size_t)size);
  rewind(f);
  if (fread(file, 1, (size_t)size, f) != (size_t)size) return 2;
  fclose(f);
  int result = 0;
  if (argc > 3) {
    result = damage(file, (uint32_t)size, (uint32_t)atoi(argv[3]), strcmp(argv[2], "word") == 0);
  } else if (argc > 2) {
    result = truncate_all(file, (uint32_t)size);
  } else {
    kg_status status = kg_plan_open(&plan, file, (size_t)size);
    if (status == KG_OK)
      printf("%08x\n", run(&plan, 5));
    else
      printf("%s (%u)\n", kg_status_text(status), plan.failed_at);
    result = status == KG_OK ? 0 : 1;
  }
  free(file);
  return result;
}
