/* Arm CMSDK APB UART, as on the MPS2 and MPS3 boards. */
#include "board.h"

typedef struct cmsdk_uart {
  volatile uint32_t data, state, control, interrupt, divider;
} cmsdk_uart;

#define UART ((cmsdk_uart *)(uintptr_t)KG_UART_BASE)

enum { TX_FULL = 1, RX_FULL = 2, TX_ENABLE = 1, RX_ENABLE = 2, DIVIDER_MIN = 16 };

void kg_uart_init(void) {
  const uint32_t divider = KG_CLOCK_HZ / 115200u;
  UART->divider = divider < DIVIDER_MIN ? DIVIDER_MIN : divider;
  UART->control = TX_ENABLE | RX_ENABLE;
}

int32_t kg_uart_read(void) { return UART->state & RX_FULL ? (int32_t)(UART->data & 255u) : -1; }

void kg_uart_write(const void *data, uint32_t bytes) {
  const uint8_t *p = data;
  while (bytes--) {
    while (UART->state & TX_FULL) {
    }
    UART->data = *p++;
  }
}
