#include "text.h"

#include "board.h"

void kg_text(const char *text) {
  uint32_t n = 0;
  while (text[n]) ++n;
  kg_uart_write(text, n);
}

void kg_number(uint32_t value) {
  char digits[10];
  uint32_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + value % 10u);
    value /= 10u;
  } while (value);
  kg_uart_write(digits + at, (uint32_t)sizeof digits - at);
}

void kg_hex(uint32_t value) {
  char digits[8];
  for (uint32_t i = 0; i < 8; ++i) digits[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15u];
  kg_uart_write(digits, sizeof digits);
}
