/* STM32F746G-DISCO: 180 MHz, and USART1 on PA9 and PB7, which the ST-LINK shows as a serial port (UM1907, section 5.10). */
#include "board.h"
#include "stm32/clock.h"

enum { GPIO_A = 1 << 0, GPIO_B = 1 << 1, USART1_CLOCK = 1 << 4 };
/* RM0385 table 7: 5 wait states up to 180 MHz at 2.7 V and more. The accelerator (bit 9) works on another bus than this program uses. */
enum { ACCESS = 5 };
enum { PORT_A = 0x40020000, PORT_B = 0x40020400, USART_FUNCTION = 7, INSTRUCTION_CACHE = 1 << 17 };

/* The core's instruction cache (PM0253, section 4.8). Its data cache stays off: the flash driver would have to keep it in step. */
static void cache_instructions(void) {
  __asm__ volatile("dsb\n isb" ::: "memory");
  KG_REG(0xE000EF50) = 0; /* ICIALLU: all invalid */
  __asm__ volatile("dsb\n isb" ::: "memory");
  KG_REG(0xE000ED14) |= (uint32_t)INSTRUCTION_CACHE; /* CCR.IC */
  __asm__ volatile("dsb\n isb" ::: "memory");
}

void kg_board_init(void) {
  cache_instructions();
  kg_stm32_clock(8, 180, (uint32_t)ACCESS); /* the most without over-drive */
  RCC_AHB1ENR |= (uint32_t)GPIO_A | (uint32_t)GPIO_B;
  RCC_APB2ENR |= (uint32_t)USART1_CLOCK;
  (void)RCC_APB2ENR; /* two cycles until the clocks are there */
  kg_stm32_pin((uint32_t)PORT_A, 9, (uint32_t)USART_FUNCTION);
  kg_stm32_pin((uint32_t)PORT_B, 7, (uint32_t)USART_FUNCTION);
  kg_uart_init();
  kg_ticks_init();
}
