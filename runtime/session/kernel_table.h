/* The kernels as a table, for the interpreter of plan files. Emitted C calls them directly and needs none of
 * this. */
#ifndef KG_SESSION_KERNEL_TABLE_H
#define KG_SESSION_KERNEL_TABLE_H

#include "common/check.h"

typedef struct kg_kernel {
  uint32_t id; /* in plan files */
  uint32_t args_bytes;
  const char *name;
  void (*run)(const void *args, const kg_memory *mem);
  int32_t (*check)(const void *args, kg_check *c);
} kg_kernel;

/* Number of kernels in this build. */
uint32_t kg_kernel_count(void);
/* Kernel at a position of the table, sorted by nothing; NULL past the end. */
const kg_kernel *kg_kernel_at(uint32_t index);
/* Kernel of that id, NULL when this build does not have it. */
const kg_kernel *kg_kernel_find(uint32_t id);

#endif
