/* UART of the SiFive Freedom chips. */
#include "board.h"

typedef struct sifive_uart {
  volatile uint32_t tx, rx, tx_control, rx_control, interrupt_enable, interrupt_pending, divider;
} sifive_uart;

#define UART ((sifive_uart *)(uintptr_t)KG_UART_BASE)
#define FULL_OR_EMPTY 0x80000000u

void kg_uart_init(void) {
  UART->divider = KG_CLOCK_HZ / 115200u - 1u;
  UART->tx_control = 1;
  UART->rx_control = 1;
}

int32_t kg_uart_read(void) {
  const uint32_t value = UART->rx;
  return value & FULL_OR_EMPTY ? -1 : (int32_t)(value & 255u);
}

void kg_uart_write(const void *data, uint32_t bytes) {
  const uint8_t *p = data;
  while (bytes--) {
    while (UART->tx & FULL_OR_EMPTY) {
    }
    UART->tx = *p++;
  }
}
