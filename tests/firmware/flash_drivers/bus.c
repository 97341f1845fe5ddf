#define _GNU_SOURCE
#include "bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint32_t model_fail_erase, model_fail_program;

/* a write that was announced and may have happened since */
static struct {
  uintptr_t at;
  uint32_t bytes, before;
} pending;

void bus_map(uintptr_t at, uint32_t bytes, uint8_t fill) {
  const uintptr_t page = at & ~(uintptr_t)4095;
  const size_t size = at + bytes - page;
  void *got = mmap((void *)page, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != (void *)page) {
    perror("mmap");
    exit(77); /* this host has something else there */
  }
  memset(got, fill, size);
}

void bus_say(const char *what, uint32_t number) { printf("%s %x\n", what, number); }

static uint32_t value_at(uintptr_t at, uint32_t bytes) {
  uint32_t value = 0;
  memcpy(&value, (const void *)at, bytes);
  return value;
}

void bus_settle(void) {
  if (!pending.bytes) return;
  const uint32_t bytes = pending.bytes;
  pending.bytes = 0;
  model_write(pending.at, bytes, pending.before, value_at(pending.at, bytes));
}

static void reads(const void *at) {
  bus_settle();
  model_read((uintptr_t)at);
}

static void writes(void *at, uint32_t bytes) {
  bus_settle();
  pending.at = (uintptr_t)at;
  pending.bytes = bytes;
  pending.before = value_at(pending.at, bytes);
}

/* The names are the compiler's. */
void __tsan_volatile_read1(const void *at);
void __tsan_volatile_read2(const void *at);
void __tsan_volatile_read4(const void *at);
void __tsan_volatile_write1(void *at);
void __tsan_volatile_write2(void *at);
void __tsan_volatile_write4(void *at);
void __tsan_volatile_read1(const void *at) { reads(at); }
void __tsan_volatile_read2(const void *at) { reads(at); }
void __tsan_volatile_read4(const void *at) { reads(at); }
void __tsan_volatile_write1(void *at) { writes(at, 1); }
void __tsan_volatile_write2(void *at) { writes(at, 2); }
void __tsan_volatile_write4(void *at) { writes(at, 4); }

/* Of no interest: plain memory, entries and exits of functions. */
#define IGNORED(name)                                                                                                            \
  void name(void);                                                                                                               \
  void name(void) {}
IGNORED(__tsan_init)
IGNORED(__tsan_func_entry)
IGNORED(__tsan_func_exit)
IGNORED(__tsan_read1)
IGNORED(__tsan_read2)
IGNORED(__tsan_read4)
IGNORED(__tsan_read8)
IGNORED(__tsan_read16)
IGNORED(__tsan_write1)
IGNORED(__tsan_write2)
IGNORED(__tsan_write4)
IGNORED(__tsan_write8)
IGNORED(__tsan_write16)
IGNORED(__tsan_unaligned_write8)
IGNORED(__tsan_unaligned_write16)
IGNORED(__tsan_read_range)
IGNORED(__tsan_write_range)
