/* Tensors by name, by index, by role: described, read, written. */
#include <string.h>

#include "frame.h"

enum { ROLE_TABLE = 0, ROLE_INPUT, ROLE_OUTPUT, ROLE_LABEL, ROLE_BOUNDARY, ROLE_VARIABLE };

static kg_status by_role(const kg_plan *plan, uint32_t role, uint32_t index, kg_tensor *t) {
  switch (role) {
  case ROLE_TABLE: return kg_plan_tensor(plan, index, t);
  case ROLE_INPUT: return kg_plan_input(plan, index, t);
  case ROLE_OUTPUT: return kg_plan_output(plan, index, t);
  case ROLE_LABEL: return index == 0 ? kg_plan_label(plan, t) : KG_NOT_FOUND;
  case ROLE_BOUNDARY: return kg_plan_boundary(plan, index, t);
  case ROLE_VARIABLE: return kg_plan_variable(plan, index, t);
  default: return KG_NOT_FOUND;
  }
}

/* index, type, kind, rank, dims, bytes, scale, zero point, name. */
static void put_tensor(kg_exchange *x, uint32_t index, const kg_tensor *t) {
  uint8_t *out = x->out;
  uint32_t scale, n = 48;
  memcpy(&scale, &t->scale, 4);
  kg_put32(out, index);
  kg_put32(out + 4, (uint32_t)t->dtype);
  kg_put32(out + 8, (uint32_t)t->kind | t->rank << 16);
  for (uint32_t i = 0; i < KG_MAX_RANK; ++i) kg_put32(out + 12 + 4 * i, (uint32_t)t->dims[i]);
  kg_put32(out + 36, t->bytes);
  kg_put32(out + 40, scale);
  kg_put32(out + 44, (uint32_t)t->zero_point);
  for (const char *c = t->name; *c && n < x->room; ++c) out[n++] = (uint8_t)*c;
  x->out_bytes = n;
}

static int32_t is_named(const kg_tensor *t, const uint8_t *name, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; ++i)
    if (t->name[i] == 0 || (uint8_t)t->name[i] != name[i]) return 0;
  return t->name[bytes] == 0;
}

static kg_link_status find(const kg_plan *plan, kg_exchange *x) {
  kg_tensor t;
  for (uint32_t i = 0; kg_plan_tensor(plan, i, &t) == KG_OK; ++i) {
    if (is_named(&t, x->in + 4, x->in_bytes - 4)) {
      put_tensor(x, i, &t);
      return KG_LINK_OK;
    }
  }
  return KG_LINK_NOT_FOUND;
}

/* u32 offset and a count of bytes at it, inside the tensor. */
static kg_link_status reach(const kg_tensor *t, uint32_t offset, uint32_t bytes, kg_exchange *x) {
  x->detail = t->bytes;
  return offset <= t->bytes && bytes <= t->bytes - offset ? KG_LINK_OK : KG_LINK_OUT_OF_RANGE;
}

static kg_link_status read(const kg_link *link, const kg_tensor *t, kg_exchange *x) {
  if (x->in_bytes != 16) return KG_LINK_BAD_REQUEST;
  const uint32_t offset = kg_get32(x->in + 10), bytes = kg_get16(x->in + 14);
  const kg_link_status status = reach(t, offset, bytes, x);
  if (status != KG_LINK_OK) return status;
  if (bytes > x->room) return KG_LINK_BAD_REQUEST;
  memcpy(x->out, (const uint8_t *)kg_tensor_read(link->session, t) + offset, bytes);
  x->out_bytes = bytes;
  return KG_LINK_OK;
}

static kg_link_status write(const kg_link *link, const kg_tensor *t, kg_exchange *x) {
  if (x->in_bytes < 14) return KG_LINK_BAD_REQUEST;
  const uint32_t offset = kg_get32(x->in + 10), bytes = x->in_bytes - 14;
  uint8_t *memory = (uint8_t *)kg_tensor_data(link->session, t);
  const kg_link_status status = memory ? reach(t, offset, bytes, x) : KG_LINK_READ_ONLY;
  if (status == KG_LINK_OK) memcpy(memory + offset, x->in + 14, bytes);
  return status;
}

/* Requests: u32 plan, then a name (find); or u16 role, u32 index (describe), u32 offset (write, read), u16 count (read). */
kg_link_status kg_link_tensor(kg_link *link, uint32_t type, kg_exchange *x) {
  const kg_plan *plan = link->session->plan;
  kg_tensor t;
  if (type == KG_LINK_FIND) return find(plan, x);
  if (x->in_bytes < 10) return KG_LINK_BAD_REQUEST;
  const uint32_t index = kg_get32(x->in + 6);
  if (by_role(plan, kg_get16(x->in + 4), index, &t) != KG_OK) return KG_LINK_NOT_FOUND;
  if (type == KG_LINK_READ) return read(link, &t, x);
  if (type == KG_LINK_WRITE) return write(link, &t, x);
  if (x->in_bytes != 10) return KG_LINK_BAD_REQUEST;
  put_tensor(x, index, &t);
  return KG_LINK_OK;
}
