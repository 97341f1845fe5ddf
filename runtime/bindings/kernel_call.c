#include "kernel_call.h"

#include "../session/kernel_table.h"

int32_t kgpy_kernel(uint32_t index, const char **name, uint32_t *id, uint32_t *args_bytes) {
  const kg_kernel *k = kg_kernel_at(index);
  if (!k) return 0;
  *name = k->name;
  *id = k->id;
  *args_bytes = k->args_bytes;
  return 1;
}

int32_t kgpy_call(uint32_t index, const uint32_t *args, const kgpy_segments *segments) {
  const kg_kernel *k = kg_kernel_at(index);
  const kg_memory mem = {segments->constant, segments->state, segments->arena};
  kg_check c = {0};
  c.const_bytes = segments->const_bytes;
  c.state_bytes = segments->state_bytes;
  c.arena_bytes = segments->arena_bytes;
  c.constant = segments->constant;
  kg_check_begin(&c);
  if (!k || !k->check(args, &c) || !c.ok) return 0;
  k->run(args, &mem);
  return 1;
}
