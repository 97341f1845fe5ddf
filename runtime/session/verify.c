/* kg_plan_open: nothing of a plan file is believed before it was checked here. */
#include "format.h"
#include "kernel_table.h"

/* CRC-32 (IEEE 802.3, reflected), four bits at a time. */
uint32_t kg_crc32(const uint8_t *bytes, uint32_t count) {
  static const uint32_t nibble[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                      0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                      0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
  uint32_t crc = 0xFFFFFFFFu;
  for (uint32_t i = 0; i < count; ++i) {
    crc ^= bytes[i];
    crc = (crc >> 4) ^ nibble[crc & 15u];
    crc = (crc >> 4) ^ nibble[crc & 15u];
  }
  return ~crc;
}

static uint32_t word_at(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Bytes of one record of each section; 0: the section is plain bytes. */
static uint32_t record_bytes(uint32_t section) {
  switch (section) {
  case KG_SEC_TENSORS: return sizeof(kg_tensor_record);
  case KG_SEC_QUANT: return sizeof(kg_quant_record);
  case KG_SEC_CALLS: return sizeof(kg_call_record);
  case KG_SEC_ARGS: return 4;
  case KG_SEC_REGIONS: return sizeof(kg_region_record);
  case KG_SEC_ENTRIES: return sizeof(kg_entry_record);
  case KG_SEC_ENTRY_REGIONS: return 4;
  case KG_SEC_IO: return sizeof(kg_io_record);
  default: return 1;
  }
}

static kg_status open_header(kg_plan *plan) {
  const uint8_t *f = plan->file;
  if (plan->file_bytes < 4 || f[0] != 'K' || f[1] != 'G' || f[2] != 'P' || f[3] != '\n') return KG_NOT_A_PLAN;
  if (plan->file_bytes < KG_HEADER_BYTES + KG_SECTIONS * KG_SECTION_BYTES) return KG_TRUNCATED;
  if (word_at(f + KG_HEADER_VERSION) != KG_PLAN_VERSION) return KG_WRONG_VERSION;
  if (word_at(f + KG_HEADER_SIZE) != plan->file_bytes) return KG_TRUNCATED;
  if (word_at(f + KG_HEADER_CRC) != kg_crc32(f + KG_CRC_FROM, plan->file_bytes - KG_CRC_FROM)) return KG_BAD_CHECKSUM;
  if (word_at(f + KG_HEADER_SECTIONS) != KG_SECTIONS) return KG_BAD_LAYOUT;
  plan->arena_bytes = word_at(f + KG_HEADER_ARENA);
  return plan->arena_bytes < 1u << KG_REF_OFFSET_BITS ? KG_OK : KG_BAD_LAYOUT;
}

/* Sections stand one behind the other, aligned, each inside the file. */
static kg_status open_sections(kg_plan *plan) {
  uint32_t end = KG_HEADER_BYTES + KG_SECTIONS * KG_SECTION_BYTES;
  for (uint32_t i = 0; i < KG_SECTIONS; ++i) {
    const uint8_t *entry = plan->file + KG_HEADER_BYTES + i * KG_SECTION_BYTES;
    const uint32_t offset = word_at(entry + 4), bytes = word_at(entry + 8), count = word_at(entry + 12);
    const uint32_t align = i == KG_SEC_CONST ? KG_ALIGNMENT : 4;
    plan->failed_at = i;
    if (word_at(entry) != i + 1 || offset < end || offset % align != 0) return KG_BAD_LAYOUT;
    if (offset > plan->file_bytes || bytes > plan->file_bytes - offset || bytes >= 1u << KG_REF_OFFSET_BITS) return KG_BAD_LAYOUT;
    if ((uint64_t)count * record_bytes(i) != bytes) return KG_BAD_LAYOUT;
    plan->section[i].data = plan->file + offset;
    plan->section[i].bytes = bytes;
    plan->section[i].count = count;
    end = offset + bytes;
  }
  plan->failed_at = 0;
  plan->const_bytes = plan->section[KG_SEC_CONST].bytes;
  plan->state_bytes = plan->section[KG_SEC_STATE].bytes;
  const kg_section *strings = &plan->section[KG_SEC_STRINGS];
  if (strings->bytes == 0 || strings->data[strings->bytes - 1] != 0) return KG_BAD_LAYOUT;
  const uint32_t name = word_at(plan->file + KG_HEADER_NAME);
  if (name >= strings->bytes) return KG_BAD_LAYOUT;
  plan->name = kg_plan_text(plan, name);
  return KG_OK;
}

static int32_t name_ok(const kg_plan *plan, uint32_t offset) { return offset < plan->section[KG_SEC_STRINGS].bytes; }

static uint32_t segment_bytes(const kg_plan *plan, uint32_t segment) {
  return segment == KG_SEG_CONST   ? plan->const_bytes
         : segment == KG_SEG_STATE ? plan->state_bytes
         : segment == KG_SEG_ARENA ? plan->arena_bytes
                                   : 0;
}

static uint64_t type_bytes(uint32_t dtype, uint64_t elements) {
  switch (dtype) {
  case KG_INT8:
  case KG_UINT8: return elements;
  case KG_INT16: return 2 * elements;
  case KG_INT32:
  case KG_FLOAT32: return 4 * elements;
  case KG_INT64: return 8 * elements;
  default: return (elements + 7) / 8;
  }
}

static kg_status check_tensor(const kg_plan *plan, const kg_tensor_record *t) {
  uint64_t elements = 1;
  if (!name_ok(plan, t->name) || t->dtype > KG_INT64 || t->rank > KG_MAX_RANK) return KG_BAD_TENSOR;
  for (uint32_t i = 0; i < KG_MAX_RANK; ++i) {
    if (t->dims[i] < 1 || t->dims[i] >= 1 << 30 || (i >= t->rank && t->dims[i] != 1)) return KG_BAD_TENSOR;
    elements *= (uint64_t)t->dims[i];
    if (elements >= (uint64_t)1 << 30) return KG_BAD_TENSOR;
  }
  const uint64_t bytes = type_bytes(t->dtype, elements);
  const uint32_t segment = kg_ref_segment(t->ref), offset = kg_ref_offset(t->ref);
  if (t->kind < KG_CONST || t->kind > KG_ARENA || segment != t->kind || t->bytes != bytes) return KG_BAD_TENSOR;
  if (offset % 4 != 0 || offset + bytes > segment_bytes(plan, segment)) return KG_BAD_TENSOR;
  const uint32_t quants = plan->section[KG_SEC_QUANT].count;
  if (t->quant_first > quants || t->quant_count > quants - t->quant_first) return KG_BAD_TENSOR;
  if (t->axis < -1 || t->axis >= KG_MAX_RANK) return KG_BAD_TENSOR;
  return KG_OK;
}

static kg_status check_tensors(kg_plan *plan) {
  const kg_tensor_record *t = KG_RECORDS(plan, KG_SEC_TENSORS, kg_tensor_record);
  for (uint32_t i = 0; i < plan->section[KG_SEC_TENSORS].count; ++i) {
    plan->failed_at = i;
    if (check_tensor(plan, &t[i]) != KG_OK) return KG_BAD_TENSOR;
  }
  const kg_io_record *io = KG_RECORDS(plan, KG_SEC_IO, kg_io_record);
  for (uint32_t i = 0; i < plan->section[KG_SEC_IO].count; ++i) {
    plan->failed_at = i;
    if (io[i].role < KG_ROLE_INPUT || io[i].role > KG_ROLE_VARIABLE) return KG_BAD_TENSOR;
    if (io[i].tensor >= plan->section[KG_SEC_TENSORS].count) return KG_BAD_TENSOR;
    if (io[i].role != KG_ROLE_OUTPUT && t[io[i].tensor].kind == KG_CONST) return KG_BAD_TENSOR;
    if (io[i].role == KG_ROLE_VARIABLE && t[io[i].tensor].kind != KG_STATE) return KG_BAD_TENSOR;
  }
  return KG_OK;
}

static kg_status check_calls(kg_plan *plan) {
  const kg_call_record *calls = KG_RECORDS(plan, KG_SEC_CALLS, kg_call_record);
  const kg_section *args = &plan->section[KG_SEC_ARGS];
  kg_check c = {0};
  c.const_bytes = plan->const_bytes;
  c.state_bytes = plan->state_bytes;
  c.arena_bytes = plan->arena_bytes;
  c.constant = plan->section[KG_SEC_CONST].data;
  for (uint32_t i = 0; i < plan->section[KG_SEC_CALLS].count; ++i) {
    const kg_kernel *kernel = kg_kernel_find(calls[i].kernel);
    plan->failed_at = i;
    if (!kernel) return KG_UNKNOWN_KERNEL;
    if (!name_ok(plan, calls[i].node) || !name_ok(plan, calls[i].op)) return KG_BAD_CALL;
    if (calls[i].args % 4 != 0 || calls[i].args > args->bytes || kernel->args_bytes > args->bytes - calls[i].args)
      return KG_BAD_CALL;
    kg_check_begin(&c);
    if (!kernel->check(args->data + calls[i].args, &c) || !c.ok) return KG_BAD_CALL;
  }
  return KG_OK;
}

static kg_status check_program(kg_plan *plan) {
  const kg_region_record *regions = KG_RECORDS(plan, KG_SEC_REGIONS, kg_region_record);
  const kg_entry_record *entries = KG_RECORDS(plan, KG_SEC_ENTRIES, kg_entry_record);
  const uint32_t *indices = KG_RECORDS(plan, KG_SEC_ENTRY_REGIONS, uint32_t);
  const uint32_t calls = plan->section[KG_SEC_CALLS].count, index_count = plan->section[KG_SEC_ENTRY_REGIONS].count;
  for (uint32_t i = 0; i < plan->section[KG_SEC_REGIONS].count; ++i) {
    const kg_region_record *r = &regions[i];
    plan->failed_at = i;
    if (!name_ok(plan, r->name) || r->kind != 0 || r->first > calls || r->count > calls - r->first) return KG_BAD_PROGRAM;
    if (r->guard_ref == KG_REF_NONE) continue;
    const uint32_t offset = kg_ref_offset(r->guard_ref);
    if (kg_ref_segment(r->guard_ref) != KG_SEG_STATE || offset % 4 != 0 || (uint64_t)offset + 4 > plan->state_bytes)
      return KG_BAD_PROGRAM;
  }
  for (uint32_t i = 0; i < plan->section[KG_SEC_ENTRIES].count; ++i) {
    const kg_entry_record *e = &entries[i];
    plan->failed_at = i;
    if (!name_ok(plan, e->name) || e->first > index_count || e->count > index_count - e->first) return KG_BAD_PROGRAM;
  }
  for (uint32_t i = 0; i < index_count; ++i)
    if (indices[i] >= plan->section[KG_SEC_REGIONS].count) return KG_BAD_PROGRAM;
  return KG_OK;
}

kg_status kg_plan_open(kg_plan *plan, const void *file, size_t file_bytes) {
  if (!plan || !file) return KG_BAD_ARGUMENT;
  if ((uintptr_t)file % KG_ALIGNMENT != 0) return KG_MISALIGNED;
  if (file_bytes > UINT32_MAX) return KG_BAD_LAYOUT;
  plan->file = (const uint8_t *)file;
  plan->file_bytes = (uint32_t)file_bytes;
  plan->failed_at = 0;
  kg_status status = open_header(plan);
  if (status == KG_OK) status = open_sections(plan);
  if (status == KG_OK) status = check_tensors(plan);
  if (status == KG_OK) status = check_calls(plan);
  if (status == KG_OK) status = check_program(plan);
  return status;
}
