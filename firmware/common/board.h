/* What the application needs of a board. Each function is implemented once a board, by a driver in firmware/common or in the board's folder. */
#ifndef KG_BOARD_H
#define KG_BOARD_H

#include <stdint.h>

#include "kg_config.h"
#include "kilograd/flash.h"

/* Clocks, pins, UART, ticks. Called once, before anything else here. */
void kg_board_init(void);

/* Serial line: the next byte, or -1 when none has arrived; and bytes out, waiting until all are taken. */
void kg_uart_init(void);
int32_t kg_uart_read(void);
void kg_uart_write(const void *data, uint32_t bytes);

/* Counts up at KG_TICKS_HZ, 32 bits wide: differences are right across a wrap. */
void kg_ticks_init(void);
uint32_t kg_ticks(void);

/* The store's flash: offset 0 is the first sector. Present when the board has a store (KG_STORE_SECTORS > 0). Fills in `flash`. */
void kg_board_flash(kg_flash *flash);

/* The end: an emulator stops with this code; hardware waits for a reset. */
_Noreturn void kg_board_exit(int32_t code);

/* Bytes of stack that are reserved. */
uint32_t kg_stack_bytes(void);

/* Most bytes of stack that were ever in use: the paint that start-up put there is gone so far. */
uint32_t kg_stack_used(void);

#endif
