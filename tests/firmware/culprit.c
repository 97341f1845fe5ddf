/* A program that does what no core knows, at a place that has a name. */
#include "board.h"
#include "text.h"

void culprit(void);
__attribute__((noinline, used)) void culprit(void) {
#if defined(__riscv)
  __asm__ volatile(".2byte 0");
#else
  __asm__ volatile("udf #1");
#endif
}

int main(void) {
  kg_board_init();
  kg_text("hello\n");
  while (kg_uart_read() < 0) {
  }
  culprit();
  return 0;
}
