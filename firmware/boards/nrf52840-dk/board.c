/* nRF52840-DK: 64 MHz from the crystal, and the UART on P0.06 and P0.08, which the interface chip shows as a serial port (nRF52840 DK user
 * guide, virtual serial port). Chapters are those of the nRF52840 Product Specification. */
#include "board.h"

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define HFCLK_START REG(0x40000000) /* CLOCK: task, and its event */
#define HFCLK_STARTED REG(0x40000100)
#define P0_OUT_SET REG(0x50000508)
#define P0_PIN(pin) REG(0x50000700 + 4u * (pin))
#define INSTRUCTION_CACHE REG(0x4001E540) /* NVMC.ICACHECNF */

enum { OUTPUT = 3, INPUT_PULLED_UP = 3 << 2 };

void kg_board_init(void) {
  HFCLK_STARTED = 0;
  HFCLK_START = 1; /* the crystal: the internal oscillator is too far off for a UART over all temperatures */
  while (HFCLK_STARTED == 0) {
  }
  INSTRUCTION_CACHE = 1;
  P0_OUT_SET = 1u << KG_UART_PIN_TX; /* pins as the UART chapter asks for, before it is enabled */
  P0_PIN(KG_UART_PIN_TX) = OUTPUT;
  P0_PIN(KG_UART_PIN_RX) = INPUT_PULLED_UP;
  kg_uart_init();
  kg_ticks_init();
}
