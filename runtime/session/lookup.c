/* Names and numbers to tensors and entry points. */
#include "format.h"

#include "common/memory.h"

const char *kg_status_text(kg_status status) {
  switch (status) {
  case KG_OK: return "ok";
  case KG_NOT_A_PLAN: return "this is no plan file";
  case KG_WRONG_VERSION: return "the plan file has another version than this runtime";
  case KG_TRUNCATED: return "the plan file is truncated";
  case KG_BAD_CHECKSUM: return "the plan file is damaged: its checksum is wrong";
  case KG_BAD_LAYOUT: return "a section of the plan file lies outside the file";
  case KG_BAD_TENSOR: return "a tensor of the plan file lies outside its memory or contradicts itself";
  case KG_UNKNOWN_KERNEL: return "the plan needs a kernel that this build does not have";
  case KG_BAD_CALL: return "the arguments of a kernel call do not pass its check";
  case KG_BAD_PROGRAM: return "a region or an entry point of the plan names what does not exist";
  case KG_MISALIGNED: return "memory is not aligned to 16 bytes";
  case KG_TOO_SMALL: return "memory is smaller than the plan needs";
  case KG_NOT_FOUND: return "there is nothing of that name or index";
  case KG_BAD_ARGUMENT: return "an argument is missing";
  }
  return "unknown status";
}

int32_t kg_text_equal(const char *a, const char *b) {
  while (*a && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

uint32_t kg_plan_tensor_count(const kg_plan *plan) { return plan->section[KG_SEC_TENSORS].count; }

kg_status kg_plan_tensor(const kg_plan *plan, uint32_t index, kg_tensor *tensor) {
  if (index >= kg_plan_tensor_count(plan)) return KG_NOT_FOUND;
  const kg_tensor_record *r = KG_RECORDS(plan, KG_SEC_TENSORS, kg_tensor_record) + index;
  tensor->name = kg_plan_text(plan, r->name);
  tensor->dtype = (kg_dtype)r->dtype;
  tensor->kind = (kg_kind)r->kind;
  tensor->rank = r->rank;
  for (uint32_t i = 0; i < KG_MAX_RANK; ++i) tensor->dims[i] = r->dims[i];
  tensor->bytes = r->bytes;
  tensor->offset = kg_ref_offset(r->ref);
  tensor->scale = 0;
  tensor->zero_point = 0;
  if (r->quant_count == 1) {
    const kg_quant_record *q = KG_RECORDS(plan, KG_SEC_QUANT, kg_quant_record) + r->quant_first;
    tensor->scale = q->scale;
    tensor->zero_point = q->zero_point;
  }
  return KG_OK;
}

kg_status kg_plan_find_tensor(const kg_plan *plan, const char *name, kg_tensor *tensor) {
  const kg_tensor_record *r = KG_RECORDS(plan, KG_SEC_TENSORS, kg_tensor_record);
  for (uint32_t i = 0; i < kg_plan_tensor_count(plan); ++i)
    if (kg_text_equal(kg_plan_text(plan, r[i].name), name)) return kg_plan_tensor(plan, i, tensor);
  return KG_NOT_FOUND;
}

static kg_status with_role(const kg_plan *plan, uint32_t role, uint32_t index, kg_tensor *tensor) {
  const kg_io_record *io = KG_RECORDS(plan, KG_SEC_IO, kg_io_record);
  for (uint32_t i = 0; i < plan->section[KG_SEC_IO].count; ++i)
    if (io[i].role == role && index-- == 0) return kg_plan_tensor(plan, io[i].tensor, tensor);
  return KG_NOT_FOUND;
}

kg_status kg_plan_input(const kg_plan *plan, uint32_t index, kg_tensor *tensor) {
  return with_role(plan, KG_ROLE_INPUT, index, tensor);
}

kg_status kg_plan_output(const kg_plan *plan, uint32_t index, kg_tensor *tensor) {
  return with_role(plan, KG_ROLE_OUTPUT, index, tensor);
}

kg_status kg_plan_label(const kg_plan *plan, kg_tensor *tensor) { return with_role(plan, KG_ROLE_LABEL, 0, tensor); }

kg_status kg_plan_boundary(const kg_plan *plan, uint32_t index, kg_tensor *tensor) {
  return with_role(plan, KG_ROLE_BOUNDARY, index, tensor);
}

kg_status kg_plan_variable(const kg_plan *plan, uint32_t index, kg_tensor *tensor) {
  return with_role(plan, KG_ROLE_VARIABLE, index, tensor);
}

kg_status kg_plan_find_entry(const kg_plan *plan, const char *name, uint32_t *entry) {
  const kg_entry_record *e = KG_RECORDS(plan, KG_SEC_ENTRIES, kg_entry_record);
  for (uint32_t i = 0; i < plan->section[KG_SEC_ENTRIES].count; ++i) {
    if (kg_text_equal(kg_plan_text(plan, e[i].name), name)) {
      *entry = i;
      return KG_OK;
    }
  }
  return KG_NOT_FOUND;
}
