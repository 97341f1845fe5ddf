/* USART of STM32F7 and later (RM0385 section 31.8): interrupt and status register, separate data registers. Polled. Clock and pins are
 * the board's. */
#include "board.h"

typedef struct usart {
  volatile uint32_t control1, control2, control3, baud, guard, timeout, request, status, clear, receive, transmit;
} usart;

#define USART ((usart *)(uintptr_t)KG_UART_BASE)

enum { ENABLE = 1 << 0, RX_ENABLE = 1 << 2, TX_ENABLE = 1 << 3, OVERRUN = 1 << 3, RX_FULL = 1 << 5, TX_EMPTY = 1 << 7 };

void kg_uart_init(void) {
  USART->baud = (KG_UART_CLOCK_HZ + 57600u) / 115200u; /* in sixteenths: oversampling by 16 */
  USART->control1 = (uint32_t)ENABLE | (uint32_t)TX_ENABLE | (uint32_t)RX_ENABLE;
}

int32_t kg_uart_read(void) {
  const uint32_t status = USART->status;
  if (status & (uint32_t)OVERRUN) USART->clear = (uint32_t)OVERRUN; /* the frame's checksum finds what is missing */
  return status & (uint32_t)RX_FULL ? (int32_t)(USART->receive & 255u) : -1;
}

void kg_uart_write(const void *data, uint32_t bytes) {
  const uint8_t *p = data;
  while (bytes--) {
    while (!(USART->status & (uint32_t)TX_EMPTY)) {
    }
    USART->transmit = *p++;
  }
}
