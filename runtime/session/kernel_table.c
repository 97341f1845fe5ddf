#include "kernel_table.h"

#include "kernels.h"

/* Kernels take their own argument type: one thin wrapper each gives them a common signature without casting
 * function pointers. */
#define KG_KERNEL(id, name, args_type, check_function)                                                                           \
  static void run_##name(const void *args, const kg_memory *mem) { kg_##name((const args_type *)args, mem); }                    \
  static int32_t check_##name(const void *args, kg_check *c) { return check_function((const args_type *)args, c); }              \
  _Static_assert(sizeof(args_type) % 4 == 0, "an argument struct consists of 32-bit words");
#include "kernels.def"
#undef KG_KERNEL

static const kg_kernel table[] = {
#define KG_KERNEL(id, name, args_type, check_function) {id, sizeof(args_type), #name, run_##name, check_##name},
#include "kernels.def"
#undef KG_KERNEL
};

uint32_t kg_kernel_count(void) { return (uint32_t)(sizeof table / sizeof table[0]); }

const kg_kernel *kg_kernel_at(uint32_t index) { return index < kg_kernel_count() ? &table[index] : NULL; }

const kg_kernel *kg_kernel_find(uint32_t id) {
  for (uint32_t i = 0; i < kg_kernel_count(); ++i)
    if (table[i].id == id) return &table[i];
  return NULL;
}
