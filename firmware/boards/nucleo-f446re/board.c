/* NUCLEO-F446RE: 168 MHz, and USART2 on PA2 and PA3, which the ST-LINK shows as a serial port (UM1724, section 6.8). */
#include "board.h"
#include "stm32/clock.h"

enum { GPIO_A = 1 << 0, USART2_CLOCK = 1 << 17 };
/* RM0390 table 5: 5 wait states up to 180 MHz at 2.7 V and more; prefetch, instruction and data cache on (section 3.8.1). Supply scale 1,
 * which 168 MHz need, is what the reset leaves (section 5.4.1). */
enum { ACCESS = 5 | 1 << 8 | 1 << 9 | 1 << 10 };
enum { PORT_A = 0x40020000, USART_FUNCTION = 7 };

void kg_board_init(void) {
  kg_stm32_clock(8, 168, (uint32_t)ACCESS);
  RCC_AHB1ENR |= (uint32_t)GPIO_A;
  RCC_APB1ENR |= (uint32_t)USART2_CLOCK;
  (void)RCC_APB1ENR; /* two cycles until the clocks are there */
  kg_stm32_pin((uint32_t)PORT_A, 2, (uint32_t)USART_FUNCTION);
  kg_stm32_pin((uint32_t)PORT_A, 3, (uint32_t)USART_FUNCTION);
  kg_uart_init();
  kg_ticks_init();
}
