/* The 16550 UART, with registers one byte apart. */
#include "board.h"

#define REG(offset) (*(volatile uint8_t *)(uintptr_t)(KG_UART_BASE + (offset)))

enum {
  DATA = 0,
  FIFO_CONTROL = 2,
  LINE_CONTROL = 3,
  LINE_STATUS = 5,
  FIFO_ON = 7,
  EIGHT_BITS = 3,
  RX_READY = 1,
  TX_EMPTY = 0x20
};

void kg_uart_init(void) {
  REG(LINE_CONTROL) = EIGHT_BITS;
  REG(FIFO_CONTROL) = FIFO_ON;
}

int32_t kg_uart_read(void) { return REG(LINE_STATUS) & RX_READY ? (int32_t)REG(DATA) : -1; }

void kg_uart_write(const void *data, uint32_t bytes) {
  const uint8_t *p = data;
  while (bytes--) {
    while ((REG(LINE_STATUS) & TX_EMPTY) == 0) {
    }
    REG(DATA) = *p++;
  }
}
