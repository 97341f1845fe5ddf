/* Plan files as bytes: where things stand. docs/plan-format.md is the specification. */
#ifndef KG_SESSION_FORMAT_H
#define KG_SESSION_FORMAT_H

#include "kilograd/kilograd.h"

enum { KG_HEADER_BYTES = 28, KG_SECTION_BYTES = 16, KG_CRC_FROM = 16 };
enum {
  KG_HEADER_VERSION = 4,
  KG_HEADER_SIZE = 8,
  KG_HEADER_CRC = 12,
  KG_HEADER_SECTIONS = 16,
  KG_HEADER_ARENA = 20,
  KG_HEADER_NAME = 24
};

/* Sections in the order of the file; kind is the position + 1. */
enum {
  KG_SEC_STRINGS,
  KG_SEC_TENSORS,
  KG_SEC_QUANT,
  KG_SEC_CALLS,
  KG_SEC_ARGS,
  KG_SEC_REGIONS,
  KG_SEC_ENTRIES,
  KG_SEC_ENTRY_REGIONS,
  KG_SEC_IO,
  KG_SEC_CONST,
  KG_SEC_STATE,
  KG_SEC_META
};

typedef struct kg_tensor_record {
  uint32_t name, dtype, kind, rank;
  int32_t dims[KG_MAX_RANK];
  uint32_t ref, bytes, quant_first, quant_count;
  int32_t axis, first, last;
} kg_tensor_record;

typedef struct kg_quant_record {
  float scale;
  int32_t zero_point;
} kg_quant_record;

typedef struct kg_call_record {
  uint32_t kernel, args, node, op;
} kg_call_record;

typedef struct kg_region_record {
  uint32_t name, first, count, kind, guard_ref;
  int32_t guard_value;
} kg_region_record;

typedef struct kg_entry_record {
  uint32_t name, first, count;
} kg_entry_record;

typedef struct kg_io_record {
  uint32_t role, tensor;
} kg_io_record;

enum { KG_ROLE_INPUT = 1, KG_ROLE_OUTPUT, KG_ROLE_LABEL, KG_ROLE_BOUNDARY, KG_ROLE_VARIABLE };

_Static_assert(sizeof(kg_tensor_record) == 68, "tensor records have 17 words");

/* Records of a section: aligned to 4 in the file, and the file to KG_ALIGNMENT in memory. */
#define KG_RECORDS(plan, section_index, type) ((const type *)(const void *)(plan)->section[section_index].data)

/* A name; verified to be NUL-terminated inside its section. */
static inline const char *kg_plan_text(const kg_plan *plan, uint32_t offset) {
  return (const char *)plan->section[KG_SEC_STRINGS].data + offset;
}

int32_t kg_text_equal(const char *a, const char *b);
uint32_t kg_crc32(const uint8_t *bytes, uint32_t count);

#endif
