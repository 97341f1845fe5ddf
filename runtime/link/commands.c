/* What each request does. */
#include <string.h>

#include "frame.h"

static const kg_plan *plan_of(const kg_link *link) {
  return link->session && link->session->plan && link->session->plan->file ? link->session->plan : NULL;
}

/* Checksum in the header of a plan file: which plan it is. */
static uint32_t plan_checksum(const kg_plan *plan) { return kg_get32(plan->file + 12); }

static void put_u8(kg_exchange *x, uint32_t value) { x->out[x->out_bytes++] = (uint8_t)value; }

static void put_u16(kg_exchange *x, uint32_t value) {
  kg_put16(x->out + x->out_bytes, value);
  x->out_bytes += 2;
}

static void put_u32(kg_exchange *x, uint32_t value) {
  kg_put32(x->out + x->out_bytes, value);
  x->out_bytes += 4;
}

static void put_u64(kg_exchange *x, uint64_t value) {
  put_u32(x, (uint32_t)value);
  put_u32(x, (uint32_t)(value >> 32));
}

/* A text, cut to at most `most` bytes and to the room there is. */
static uint32_t put_text(kg_exchange *x, const char *text, uint32_t most) {
  uint32_t n = 0;
  for (; text && text[n] && n < most && x->out_bytes < x->room; ++n) x->out[x->out_bytes++] = (uint8_t)text[n];
  return n;
}

static uint32_t all_inputs(const kg_plan *plan, uint32_t *count) {
  kg_tensor t;
  uint32_t bytes = 0;
  for (*count = 0; kg_plan_input(plan, *count, &t) == KG_OK; ++*count) bytes += t.bytes;
  return bytes;
}

static int32_t can_train(const kg_plan *plan, uint32_t *entry, kg_tensor *label) {
  return kg_plan_find_entry(plan, "train_step", entry) == KG_OK && kg_plan_label(plan, label) == KG_OK;
}

/* ---- info and statistics ---- */

static void put_plan_sizes(kg_exchange *x, const kg_plan *plan) {
  kg_tensor t;
  uint32_t inputs, outputs, entry;
  const uint32_t input_bytes = all_inputs(plan, &inputs);
  for (outputs = 0; kg_plan_output(plan, outputs, &t) == KG_OK;) ++outputs;
  put_u32(x, plan_checksum(plan));
  put_u32(x, plan->file_bytes);
  put_u32(x, plan->state_bytes);
  put_u32(x, plan->arena_bytes);
  put_u32(x, input_bytes);
  put_u32(x, kg_plan_output(plan, 0, &t) == KG_OK ? t.bytes : 0);
  put_u32(x, can_train(plan, &entry, &t) ? t.bytes : 0);
  put_u32(x, kg_plan_tensor_count(plan));
  put_u8(x, inputs);
  put_u8(x, outputs);
}

static kg_link_status info(kg_link *link, kg_exchange *x) {
  enum { HAS_PLAN = 1, TRAINS = 2, SAVES = 4, UPDATES = 8, PLAN_FIELDS_BYTES = 34, BOARD_NAME_BYTES = 24 };
  const kg_plan *plan = plan_of(link);
  const kg_link_app *app = link->config.app;
  kg_tensor label;
  uint32_t entry, flags = 0, longest = link->config.request_bytes - KG_FRAME_AROUND;
  if (longest > KG_LINK_MAX_PAYLOAD) longest = KG_LINK_MAX_PAYLOAD;
  if (plan) flags |= HAS_PLAN;
  if (plan && can_train(plan, &entry, &label)) flags |= TRAINS;
  if (app && app->save && app->load) flags |= SAVES;
  if (app && app->plan_begin && app->plan_write && app->plan_commit) flags |= UPDATES;
  link->open = 1;
  put_u8(x, KG_LINK_VERSION);
  put_u8(x, flags);
  put_u16(x, longest);
  put_u16(x, x->room + 1);
  put_u16(x, app && app->plan_unit ? app->plan_unit : 1);
  put_u32(x, app ? app->plan_bytes : 0);
  if (plan) {
    put_plan_sizes(x, plan);
  } else {
    memset(x->out + x->out_bytes, 0, PLAN_FIELDS_BYTES);
    x->out_bytes += PLAN_FIELDS_BYTES;
  }
  uint8_t *length = x->out + x->out_bytes++;
  *length = (uint8_t)put_text(x, link->config.board, BOARD_NAME_BYTES);
  if (plan) (void)put_text(x, plan->name, x->room);
  return KG_LINK_OK;
}

static kg_link_status statistics(const kg_link *link, kg_exchange *x) {
  const kg_plan *plan = plan_of(link);
  const kg_link_app *app = link->config.app;
  kg_link_statistics s = {0, 0, 0, 0, 0};
  if (app && app->statistics) app->statistics(app->context, &s);
  put_u32(x, app && app->ticks ? (uint32_t)app->ticks_unit : (uint32_t)KG_LINK_NO_TICKS);
  put_u64(x, link->infer_ticks);
  put_u64(x, link->train_ticks);
  put_u32(x, s.stack_bytes);
  put_u32(x, s.stack_used);
  put_u32(x, plan ? plan->arena_bytes : 0);
  put_u32(x, plan ? plan->state_bytes : 0);
  put_u32(x, s.erases);
  put_u32(x, s.saved_sequence);
  put_u32(x, link->frames);
  put_u32(x, link->damaged);
  put_u32(x, link->repeated);
  put_u32(x, s.saving);
  return KG_LINK_OK;
}

/* ---- inference, training ---- */

/* Copy the part of `data`, which stands at `offset` of the sample, that belongs to a tensor at `base` of it. */
static void place(const kg_link *link, const kg_tensor *t, uint32_t base, uint32_t offset, const uint8_t *data, uint32_t bytes) {
  const uint32_t from = offset > base ? offset : base;
  const uint32_t to = offset + bytes < base + t->bytes ? offset + bytes : base + t->bytes;
  uint8_t *memory = (uint8_t *)kg_tensor_data(link->session, t);
  if (from < to && memory) memcpy(memory + (from - base), data + (from - offset), to - from);
}

/* An element of the output in an order-preserving integer. Floats compare as their bits do, with the sign turned. */
static int32_t element(const void *memory, kg_dtype dtype, uint32_t i) {
  int32_t word;
  switch (dtype) {
  case KG_INT8: return ((const int8_t *)memory)[i];
  case KG_UINT8: return ((const uint8_t *)memory)[i];
  case KG_INT16: return ((const int16_t *)memory)[i];
  case KG_INT32: return ((const int32_t *)memory)[i];
  case KG_FLOAT32: memcpy(&word, (const uint8_t *)memory + 4 * (size_t)i, 4); return word < 0 ? -(word & INT32_MAX) : word;
  default: return 0;
  }
}

static uint32_t largest(const kg_link *link, const kg_tensor *output) {
  const void *memory = kg_tensor_read(link->session, output);
  uint32_t count = 1, best = 0;
  for (uint32_t i = 0; i < output->rank; ++i) count *= (uint32_t)output->dims[i];
  for (uint32_t i = 1; i < count; ++i)
    if (element(memory, output->dtype, i) > element(memory, output->dtype, best)) best = i;
  return best;
}

static kg_link_status run(kg_link *link, uint32_t entry, uint64_t *ticks, kg_exchange *x) {
  const kg_link_app *app = link->config.app;
  const uint64_t before = app && app->ticks ? app->ticks(app->context) : 0;
  x->detail = (uint32_t)kg_run(link->session, entry);
  if (app && app->ticks) *ticks = app->ticks(app->context) - before;
  return x->detail == KG_OK ? KG_LINK_OK : KG_LINK_RUN_FAILED;
}

static kg_link_status infer(kg_link *link, uint32_t type, kg_exchange *x) {
  uint32_t entry;
  kg_tensor output;
  if (kg_plan_find_entry(link->session->plan, "infer", &entry) != KG_OK) return KG_LINK_NOT_FOUND;
  if (kg_plan_output(link->session->plan, 0, &output) != KG_OK) return KG_LINK_NOT_FOUND;
  const kg_link_status status = run(link, entry, &link->infer_ticks, x);
  if (status != KG_LINK_OK) return status;
  if (type == KG_LINK_EVALUATE) {
    put_u32(x, largest(link, &output));
    return KG_LINK_OK;
  }
  put_u32(x, output.bytes);
  const uint32_t first = output.bytes < x->room - x->out_bytes ? output.bytes : x->room - x->out_bytes;
  memcpy(x->out + x->out_bytes, kg_tensor_read(link->session, &output), first); /* the host reads the rest */
  x->out_bytes += first;
  return KG_LINK_OK;
}

static kg_link_status train(kg_link *link, uint32_t entry, kg_exchange *x) {
  kg_step_result result = {0, -1, 0};
  const kg_link_status status = run(link, entry, &link->train_ticks, x);
  if (status != KG_LINK_OK) return status;
  (void)kg_last_step(link->session, &result);
  put_u32(x, (uint32_t)result.loss);
  put_u32(x, (uint32_t)result.predicted);
  put_u32(x, (uint32_t)result.skipped);
  return KG_LINK_OK;
}

/* A chunk of a sample: u32 plan, u32 offset, bytes. The last one runs it. */
kg_link_status kg_link_sample(kg_link *link, uint32_t type, kg_exchange *x) {
  const kg_plan *plan = link->session->plan;
  kg_tensor t, label = {0};
  uint32_t inputs, entry = 0;
  uint32_t total = all_inputs(plan, &inputs);
  if (type == KG_LINK_TRAIN) {
    if (!can_train(plan, &entry, &label)) return KG_LINK_CANNOT_TRAIN;
    total += label.bytes;
  }
  if (x->in_bytes < 8) return KG_LINK_BAD_REQUEST;
  const uint32_t offset = kg_get32(x->in + 4), bytes = x->in_bytes - 8;
  const uint8_t *data = x->in + 8;
  const uint32_t next = link->streaming == type ? link->received : 0;
  x->detail = next;
  if (offset != 0 && offset != next) return KG_LINK_BAD_ORDER; /* 0 begins anew */
  x->detail = total;
  if (bytes > total - offset) return KG_LINK_OUT_OF_RANGE;
  if (bytes == 0 && total != 0) return KG_LINK_BAD_REQUEST;
  uint32_t base = 0;
  for (uint32_t i = 0; i < inputs && kg_plan_input(plan, i, &t) == KG_OK; ++i) {
    place(link, &t, base, offset, data, bytes);
    base += t.bytes;
  }
  if (type == KG_LINK_TRAIN) place(link, &label, base, offset, data, bytes);
  link->streaming = (uint8_t)type;
  link->received = offset + bytes;
  if (link->received < total) {
    put_u32(x, link->received);
    return KG_LINK_OK;
  }
  link->streaming = 0;
  return type == KG_LINK_TRAIN ? train(link, entry, x) : infer(link, type, x);
}

/* ---- dispatch ---- */

static kg_link_status hook(kg_link_status (*function)(void *context), void *context) {
  return function ? function(context) : KG_LINK_UNSUPPORTED;
}

static kg_link_status state_command(kg_link *link, uint32_t type, const kg_exchange *x) {
  static const kg_link_app none = {0};
  const kg_link_app *app = link->config.app ? link->config.app : &none;
  if (x->in_bytes != 4) return KG_LINK_BAD_REQUEST;
  if (type == KG_LINK_SAVE) return hook(app->save, app->context);
  if (type == KG_LINK_LOAD) return hook(app->load, app->context);
  const kg_link_status status = app->factory_reset ? app->factory_reset(app->context) : KG_LINK_OK;
  if (status == KG_LINK_OK) kg_session_reset(link->session);
  return status;
}

/* Commands on the plan begin with its checksum: a host that knows another plan gets no results of this one. */
static kg_link_status for_this_plan(const kg_link *link, kg_exchange *x) {
  const kg_plan *plan = plan_of(link);
  if (!plan) return KG_LINK_NO_PLAN;
  if (x->in_bytes < 4) return KG_LINK_BAD_REQUEST;
  if (kg_get32(x->in) == plan_checksum(plan)) return KG_LINK_OK;
  x->detail = plan_checksum(plan);
  return KG_LINK_WRONG_PLAN;
}

kg_link_status kg_link_command_run(kg_link *link, uint32_t type, kg_exchange *x) {
  kg_link_status status = KG_LINK_OK;
  if (type == KG_LINK_INFO || type != link->streaming) link->streaming = 0; /* other work may move over the sample */
  if (type == KG_LINK_INFO) return x->in_bytes ? KG_LINK_BAD_REQUEST : info(link, x);
  if (type == 0 || type > KG_LINK_PLAN_COMMIT) return KG_LINK_UNKNOWN_COMMAND;
  if (!link->open) return KG_LINK_NO_CONVERSATION;
  if (type == KG_LINK_STATISTICS) return x->in_bytes ? KG_LINK_BAD_REQUEST : statistics(link, x);
  if (type >= KG_LINK_PLAN_BEGIN) return kg_link_plan_update(link, type, x);
  status = for_this_plan(link, x);
  if (status != KG_LINK_OK) return status;
  switch (type) {
  case KG_LINK_INFER:
  case KG_LINK_TRAIN:
  case KG_LINK_EVALUATE: return kg_link_sample(link, type, x);
  case KG_LINK_SAVE:
  case KG_LINK_LOAD:
  case KG_LINK_FACTORY_RESET: return state_command(link, type, x);
  default: return kg_link_tensor(link, type, x);
  }
}
