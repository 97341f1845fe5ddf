/* USART of the STM32 F1, F2 and F4: status, data, baud rate, control. Clocks and pins are the board's (kg_board_init). */
#include "board.h"

typedef struct stm32_usart {
  volatile uint32_t status, data, baud, control;
} stm32_usart;

#define USART ((stm32_usart *)(uintptr_t)KG_UART_BASE)

enum { RX_FULL = 1 << 5, TX_EMPTY = 1 << 7, RX_ENABLE = 1 << 2, TX_ENABLE = 1 << 3, USART_ENABLE = 1 << 13 };

#ifndef KG_UART_CLOCK_HZ
#define KG_UART_CLOCK_HZ KG_CLOCK_HZ
#endif

void kg_uart_init(void) {
  USART->baud = (KG_UART_CLOCK_HZ + 57600u) / 115200u;
  USART->control = USART_ENABLE | TX_ENABLE | RX_ENABLE;
}

int32_t kg_uart_read(void) { return USART->status & RX_FULL ? (int32_t)(USART->data & 255u) : -1; }

void kg_uart_write(const void *data, uint32_t bytes) {
  const uint8_t *p = data;
  while (bytes--) {
    while ((USART->status & TX_EMPTY) == 0) {
    }
    USART->data = *p++;
  }
}
