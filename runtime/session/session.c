/* Running a verified plan. */
#include <string.h>

#include "common/train_state.h"
#include "format.h"
#include "kernel_table.h"

kg_status kg_session_attach(kg_session *session, const kg_plan *plan, void *state, size_t state_bytes, void *arena,
                            size_t arena_bytes) {
  if (!session || !plan || (!state && plan->state_bytes) || (!arena && plan->arena_bytes)) return KG_BAD_ARGUMENT;
  if ((uintptr_t)state % KG_ALIGNMENT != 0 || (uintptr_t)arena % KG_ALIGNMENT != 0) return KG_MISALIGNED;
  if (state_bytes < plan->state_bytes || arena_bytes < plan->arena_bytes) return KG_TOO_SMALL;
  session->plan = plan;
  session->state = (uint8_t *)state;
  session->arena = (uint8_t *)arena;
  return KG_OK;
}

kg_status kg_session_init(kg_session *session, const kg_plan *plan, void *state, size_t state_bytes, void *arena,
                          size_t arena_bytes) {
  const kg_status status = kg_session_attach(session, plan, state, state_bytes, arena, arena_bytes);
  if (status == KG_OK) kg_session_reset(session);
  return status;
}

void kg_session_reset(kg_session *session) {
  const kg_section *initial = &session->plan->section[KG_SEC_STATE];
  if (initial->bytes) memcpy(session->state, initial->data, initial->bytes);
}

void kg_session_reset_variables(kg_session *session) {
  const uint8_t *initial = session->plan->section[KG_SEC_STATE].data;
  kg_tensor t;
  for (uint32_t i = 0; kg_plan_variable(session->plan, i, &t) == KG_OK; ++i)
    memcpy(session->state + t.offset, initial + t.offset, t.bytes);
}

static void run_region(const kg_session *session, const kg_region_record *region) {
  const kg_plan *plan = session->plan;
  const kg_memory mem = {plan->section[KG_SEC_CONST].data, session->state, session->arena};
  const kg_call_record *calls = KG_RECORDS(plan, KG_SEC_CALLS, kg_call_record);
  if (region->guard_ref != KG_REF_NONE && *(const int32_t *)kg_in(&mem, region->guard_ref) != region->guard_value) return;
  for (uint32_t i = region->first; i < region->first + region->count; ++i)
    kg_kernel_find(calls[i].kernel)->run(plan->section[KG_SEC_ARGS].data + calls[i].args, &mem);
}

/* Regions of an entry point whose name equals `region` (wanted 1) or does not (wanted 0); all of them when
 * region is NULL. */
static kg_status run_some(const kg_session *session, uint32_t entry, const char *region, int32_t wanted) {
  const kg_plan *plan = session->plan;
  if (entry >= plan->section[KG_SEC_ENTRIES].count) return KG_NOT_FOUND;
  const kg_entry_record *e = KG_RECORDS(plan, KG_SEC_ENTRIES, kg_entry_record) + entry;
  const uint32_t *indices = KG_RECORDS(plan, KG_SEC_ENTRY_REGIONS, uint32_t) + e->first;
  for (uint32_t i = 0; i < e->count; ++i) {
    const kg_region_record *r = KG_RECORDS(plan, KG_SEC_REGIONS, kg_region_record) + indices[i];
    if (!region || kg_text_equal(kg_plan_text(plan, r->name), region) == wanted) run_region(session, r);
  }
  return KG_OK;
}

kg_status kg_run(kg_session *session, uint32_t entry) { return run_some(session, entry, NULL, 1); }

kg_status kg_run_without(kg_session *session, uint32_t entry, const char *region) { return run_some(session, entry, region, 0); }

kg_status kg_run_only(kg_session *session, uint32_t entry, const char *region) { return run_some(session, entry, region, 1); }

const void *kg_tensor_read(const kg_session *session, const kg_tensor *tensor) {
  switch (tensor->kind) {
  case KG_CONST: return session->plan->section[KG_SEC_CONST].data + tensor->offset;
  case KG_STATE: return session->state + tensor->offset;
  case KG_ARENA: return session->arena + tensor->offset;
  }
  return NULL;
}

void *kg_tensor_data(const kg_session *session, const kg_tensor *tensor) {
  switch (tensor->kind) {
  case KG_STATE: return session->state + tensor->offset;
  case KG_ARENA: return session->arena + tensor->offset;
  default: return NULL;
  }
}

kg_status kg_last_step(const kg_session *session, kg_step_result *result) {
  kg_tensor t;
  const kg_status status = kg_plan_find_tensor(session->plan, "train", &t);
  if (status != KG_OK || t.kind != KG_STATE || t.bytes < sizeof(kg_train_state)) return KG_NOT_FOUND;
  const kg_train_state *train = (const kg_train_state *)(const void *)(session->state + t.offset);
  result->loss = train->loss;
  result->predicted = train->predicted;
  result->skipped = train->skip;
  return KG_OK;
}
