/* Core clock of STM32F4 and STM32F7 from the internal 16 MHz oscillator, through the PLL (RM0390 section 6, RM0385 section 5). */
#ifndef KG_STM32_CLOCK_H
#define KG_STM32_CLOCK_H

#include <stdint.h>

#define KG_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* RCC stands at the same address and with the same order on both. */
#define RCC_CR KG_REG(0x40023800)
#define RCC_PLLCFGR KG_REG(0x40023804)
#define RCC_CFGR KG_REG(0x40023808)
#define RCC_AHB1ENR KG_REG(0x40023830)
#define RCC_APB1ENR KG_REG(0x40023840)
#define RCC_APB2ENR KG_REG(0x40023844)
#define FLASH_ACR KG_REG(0x40023C00)

enum {
  PLL_ON = 1 << 24,
  PLL_READY = 1 << 25,
  SWITCH_PLL = 2,
  SWITCH_STATUS = 3 << 2,
  SWITCH_STATUS_PLL = 2 << 2,
  APB1_DIVIDE_4 = 5 << 10,
  APB2_DIVIDE_2 = 4 << 13
};

/* 16 MHz / m * n / 2; APB1 gets a quarter of it and APB2 half. `access` is FLASH_ACR: wait states for that clock, and what is cached. */
static inline void kg_stm32_clock(uint32_t m, uint32_t n, uint32_t access) {
  FLASH_ACR = access;
  while ((FLASH_ACR & 15u) != (access & 15u)) {
  }
  RCC_PLLCFGR = 2u << 28 | 8u << 24 | n << 6 | m; /* P = 2 (field 0), source HSI; Q and R, which nobody uses, at valid values */
  RCC_CR |= (uint32_t)PLL_ON;
  while (!(RCC_CR & (uint32_t)PLL_READY)) {
  }
  RCC_CFGR = (uint32_t)APB1_DIVIDE_4 | (uint32_t)APB2_DIVIDE_2;
  RCC_CFGR = (uint32_t)APB1_DIVIDE_4 | (uint32_t)APB2_DIVIDE_2 | (uint32_t)SWITCH_PLL;
  while ((RCC_CFGR & (uint32_t)SWITCH_STATUS) != (uint32_t)SWITCH_STATUS_PLL) {
  }
}

/* Pin `pin` of the port at `port` gets its alternate function number `function`, pulled up so that a line nobody drives is idle
 * (GPIO: RM0390 section 7.4, RM0385 section 6.4). */
static inline void kg_stm32_pin(uint32_t port, uint32_t pin, uint32_t function) {
  volatile uint32_t *const gpio = (volatile uint32_t *)(uintptr_t)port;
  volatile uint32_t *const select = gpio + 8u + pin / 8u; /* AFRL, AFRH */
  *select = (*select & ~(15u << pin % 8u * 4u)) | function << pin % 8u * 4u;
  gpio[3] = (gpio[3] & ~(3u << pin * 2u)) | 1u << pin * 2u; /* PUPDR: up */
  gpio[0] = (gpio[0] & ~(3u << pin * 2u)) | 2u << pin * 2u; /* MODER: alternate */
}

#endif
