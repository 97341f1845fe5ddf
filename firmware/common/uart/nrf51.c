/* UART of the nRF51 (and the one with that interface in later nRF chips). */
#include "board.h"

#define REG(offset) (*(volatile uint32_t *)(uintptr_t)(KG_UART_BASE + (offset)))

enum {
  START_RX = 0x000,
  START_TX = 0x008,
  RX_READY = 0x108,
  TX_READY = 0x11C,
  ENABLE = 0x500,
  PIN_TX = 0x50C,
  PIN_RX = 0x514,
  RX_DATA = 0x518,
  TX_DATA = 0x51C,
  BAUD = 0x524,
  BAUD_115200 = 0x01D7E000,
  ENABLED = 4
};

#ifndef KG_UART_PIN_TX /* of the micro:bit: what its USB bridge listens to */
#define KG_UART_PIN_TX 24u
#define KG_UART_PIN_RX 25u
#endif

void kg_uart_init(void) {
  REG(PIN_TX) = KG_UART_PIN_TX;
  REG(PIN_RX) = KG_UART_PIN_RX;
  REG(BAUD) = BAUD_115200;
  REG(ENABLE) = ENABLED;
  REG(RX_READY) = 0;
  REG(START_RX) = 1;
  REG(START_TX) = 1;
}

int32_t kg_uart_read(void) {
  if (REG(RX_READY) == 0) return -1;
  REG(RX_READY) = 0; /* before the byte is taken: the next one may arrive at once */
  return (int32_t)(REG(RX_DATA) & 255u);
}

void kg_uart_write(const void *data, uint32_t bytes) {
  const uint8_t *p = data;
  while (bytes--) {
    REG(TX_READY) = 0;
    REG(TX_DATA) = *p++;
    while (REG(TX_READY) == 0) {
    }
  }
}
