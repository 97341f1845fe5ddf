/* Raspberry Pi Pico: 125 MHz from the 12 MHz crystal, UART0 on GP0 and GP1 (pins 1 and 2; the USB connector only flashes), microsecond
 * timer. Sections are those of the RP2040 datasheet. */
#include "board.h"

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CLEAR(address) REG((address) + 0x3000u) /* the same register: written ones clear (2.1.2) */

/* RESETS (2.14) */
#define RESET 0x4000C000u
#define RESET_DONE REG(0x4000C008)
enum { IO_BANK0 = 1 << 5, PADS_BANK0 = 1 << 8, PLL_SYS = 1 << 12, TIMER = 1 << 21, UART0 = 1 << 22 };

/* CLOCKS (2.15.7), XOSC (2.16.7), PLL (2.18.4), WATCHDOG (4.7.6), TIMER (4.6.5) */
#define CLK_REF_CTRL REG(0x40008030)
#define CLK_REF_SELECTED REG(0x40008038)
#define CLK_SYS_CTRL REG(0x4000803C)
#define CLK_SYS_SELECTED REG(0x40008044)
#define CLK_PERI_CTRL REG(0x40008048)
#define XOSC_CTRL REG(0x40024000)
#define XOSC_STATUS REG(0x40024004)
#define XOSC_STARTUP REG(0x4002400C)
#define PLL_CS REG(0x40028000)
#define PLL_PWR 0x40028004u
#define PLL_FEEDBACK REG(0x40028008)
#define PLL_DIVIDERS REG(0x4002800C)
#define WATCHDOG_TICK REG(0x4005802C)
#define TIMER_RAW_LOW REG(0x40054028)

/* IO_BANK0 (2.19.6.1), PADS_BANK0 (2.19.6.3) */
#define GPIO0_CTRL REG(0x40014004)
#define GPIO1_CTRL REG(0x4001400C)
#define GPIO1_PAD REG(0x4001C008)
enum { FUNCTION_UART = 2, PAD_INPUT_PULLED_UP = 1 << 6 | 1 << 4 | 1 << 3 | 1 << 1 };

static void release(uint32_t blocks) {
  CLEAR(RESET) = blocks;
  while ((RESET_DONE & blocks) != blocks) {
  }
}

static void clocks(void) {
  XOSC_STARTUP = 47;                 /* times 256 cycles: 1 ms */
  XOSC_CTRL = 0xFABu << 12 | 0xAA0u; /* enable; 1 to 15 MHz */
  while (!(XOSC_STATUS >> 31)) {
  }
  CLK_REF_CTRL = 2; /* crystal */
  while (CLK_REF_SELECTED != 1u << 2) {
  }
  CLK_SYS_CTRL &= ~1u; /* away from the PLL, should a debugger have left it there */
  while (CLK_SYS_SELECTED != 1u) {
  }
  release((uint32_t)PLL_SYS);
  PLL_CS = 1;                         /* reference 12 MHz */
  PLL_FEEDBACK = 125;                 /* 1500 MHz */
  CLEAR(PLL_PWR) = 1u << 5 | 1u << 0; /* oscillator and PLL on */
  while (!(PLL_CS >> 31)) {
  }
  PLL_DIVIDERS = 6u << 16 | 2u << 12; /* 125 MHz */
  CLEAR(PLL_PWR) = 1u << 3;           /* dividers on */
  CLK_SYS_CTRL = 0;                   /* auxiliary source: PLL */
  CLK_SYS_CTRL = 1;
  while (CLK_SYS_SELECTED != 1u << 1) {
  }
  CLK_PERI_CTRL = 1u << 11;      /* on, from the system clock */
  WATCHDOG_TICK = 1u << 9 | 12u; /* microseconds for the timer */
}

void kg_board_init(void) {
  clocks();
  release((uint32_t)IO_BANK0 | (uint32_t)PADS_BANK0 | (uint32_t)TIMER | (uint32_t)UART0);
  GPIO1_PAD = PAD_INPUT_PULLED_UP;
  GPIO0_CTRL = FUNCTION_UART;
  GPIO1_CTRL = FUNCTION_UART;
  kg_uart_init();
  kg_ticks_init();
}

void kg_ticks_init(void) {} /* it runs since its reset was released */

uint32_t kg_ticks(void) { return TIMER_RAW_LOW; }
