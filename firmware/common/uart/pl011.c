/* Arm PrimeCell UART PL011 (TRM DDI 0183), as in the RP2040. Clock, reset and pins are the board's. */
#include "board.h"

#define REG(offset) (*(volatile uint32_t *)(uintptr_t)(KG_UART_BASE + (offset)))

enum { DATA = 0x00, FLAGS = 0x18, BAUD_WHOLE = 0x24, BAUD_PART = 0x28, LINE = 0x2C, CONTROL = 0x30 };
enum {
  RX_EMPTY = 1 << 4,
  TX_FULL = 1 << 5,
  FIFOS = 1 << 4,
  EIGHT_BITS = 3 << 5,
  ENABLE = 1 << 0,
  TX_ENABLE = 1 << 8,
  RX_ENABLE = 1 << 9
};

void kg_uart_init(void) {
  const uint32_t divisor = (KG_UART_CLOCK_HZ * 4u + 57600u) / 115200u; /* clock / (16 * rate), in 64ths */
  REG(BAUD_WHOLE) = divisor >> 6;
  REG(BAUD_PART) = divisor & 63u;
  REG(LINE) = EIGHT_BITS | FIFOS; /* takes the baud rate over */
  REG(CONTROL) = ENABLE | TX_ENABLE | RX_ENABLE;
}

int32_t kg_uart_read(void) { return REG(FLAGS) & RX_EMPTY ? -1 : (int32_t)(REG(DATA) & 255u); }

void kg_uart_write(const void *data, uint32_t bytes) {
  const uint8_t *p = data;
  while (bytes--) {
    while (REG(FLAGS) & TX_FULL) {
    }
    REG(DATA) = *p++;
  }
}
