/* A host's memory as the bus of a chip: every volatile access of a driver passes a model of the chip. The driver is compiled as it is, with
 * gcc's hooks before each volatile access (-fsanitize=thread --param=tsan-distinguish-volatile=1), and its registers are memory at their
 * own addresses. */
#ifndef TESTS_FLASH_BUS_H
#define TESTS_FLASH_BUS_H

#include <stdint.h>

/* Memory at this address, each byte `fill`. */
void bus_map(uintptr_t at, uint32_t bytes, uint8_t fill);
/* The driver has returned: its last write has happened, too. */
void bus_settle(void);

static inline volatile uint32_t *bus_word(uintptr_t at) { return (volatile uint32_t *)at; }

/* What happened, one line each; a broken rule begins with '!'. */
void bus_say(const char *what, uint32_t number);

/* Of the model. Before a read: put there what the chip answers. After a write: `value` is there now, `before` was. */
void model_read(uintptr_t at);
void model_write(uintptr_t at, uint32_t bytes, uint32_t before, uint32_t value);
/* Memory and registers after a reset. */
void model_reset(void);

/* Set by the test: the erase and the program from now on that goes wrong, 0: none. */
extern uint32_t model_fail_erase, model_fail_program;
/* One fewer to go; 1: this one. */
static inline int32_t model_fails(uint32_t *left) { return *left != 0 && --*left == 0; }

#endif
