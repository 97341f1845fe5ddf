/* Start-up of every Cortex-M: vector table, memory, FPU, stack paint and stack guard. */
#include "board.h"

extern uint32_t _stack_bottom[], _stack_top[], _data_start[], _data_end[], _data_load[], _bss_start[], _bss_end[];

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

enum { PAINT = (int32_t)0xA5A5A5A5 };

int main(void);
_Noreturn void kg_reset(void);
void kg_fault_entry(void);
void kg_tick_handler(void);

__attribute__((weak)) void kg_tick_handler(void) {}

/* No device interrupts: drivers poll. */
__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))(uintptr_t)_stack_top,
    kg_reset,
    kg_fault_entry, /* NMI */
    kg_fault_entry, /* HardFault */
    kg_fault_entry, /* MemManage */
    kg_fault_entry, /* BusFault */
    kg_fault_entry, /* UsageFault */
    kg_fault_entry, /* SecureFault */
    0,
    0,
    0,
    kg_fault_entry, /* SVCall: nobody calls it */
    kg_fault_entry, /* DebugMonitor */
    0,
    kg_fault_entry, /* PendSV */
    kg_tick_handler,
};

static inline __attribute__((always_inline)) void guard_stack(void) {
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
  __asm__ volatile("msr msplim, %0" ::"r"((uint32_t)(uintptr_t)_stack_bottom));
  REG(0xE000ED24) |= 7u << 16; /* MemManage, BusFault, UsageFault by their own handlers */
#elif !defined(__ARM_ARCH_6M__)
  REG(0xE000ED24) |= 7u << 16;
  if ((REG(0xE000ED90) >> 8 & 255u) == 0) return;                 /* MPU_TYPE: no regions, no MPU */
  REG(0xE000ED9C) = (uint32_t)(uintptr_t)_stack_bottom | 1u << 4; /* RBAR: region 0, the lowest 32 bytes of the stack */
  REG(0xE000EDA0) = 1u << 28 | 4u << 1 | 1u;                      /* RASR: no access, not executable, 2^(4+1) bytes */
  REG(0xE000ED94) = 1u << 2 | 1u;                                 /* everything else as without MPU; off in fault handlers */
  __asm__ volatile("dsb\n isb" ::: "memory");
#endif
}

_Noreturn void kg_reset(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  REG(0xE000ED88) |= 15u << 20; /* CPACR: floating point and vectors on */
  __asm__ volatile("dsb\n isb" ::: "memory");
#endif
  uint32_t *sp;
  __asm__ volatile("mov %0, sp" : "=r"(sp));
  for (volatile uint32_t *p = _stack_bottom; p < sp - 4; ++p) *p = (uint32_t)PAINT;
  for (volatile uint32_t *p = _data_start, *from = _data_load; p < _data_end; ++p) *p = *from++;
  for (volatile uint32_t *p = _bss_start; p < _bss_end; ++p) *p = 0;
  guard_stack();
  kg_board_exit(main());
}

__attribute__((weak)) void kg_board_init(void) {
  kg_uart_init();
  kg_ticks_init();
}

uint32_t kg_stack_bytes(void) { return (uint32_t)((uintptr_t)_stack_top - (uintptr_t)_stack_bottom); }

uint32_t kg_stack_used(void) {
  const uint32_t *p = _stack_bottom;
#if !defined(__ARM_ARCH_6M__) && !defined(__ARM_ARCH_8M_MAIN__) && !defined(__ARM_ARCH_8_1M_MAIN__)
  p += 8; /* the guard cannot be read */
#endif
  while (p < _stack_top && *p == (uint32_t)PAINT) ++p;
  return (uint32_t)((uintptr_t)_stack_top - (uintptr_t)p);
}
