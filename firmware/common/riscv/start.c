/* Start-up of a RISC-V core in machine mode: memory, stack paint, stack guard, and a trap that says where. */
#include "board.h"
#include "text.h"

extern uint32_t _stack_bottom[], _stack_top[], _data_start[], _data_end[], _data_load[], _bss_start[], _bss_end[];

#define PAINT 0xA5A5A5A5u

int main(void);
void kg_reset(void);
void kg_trap_entry(void);
__attribute__((used)) _Noreturn void kg_begin(uint32_t *sp);
__attribute__((used)) _Noreturn void kg_trap(uint32_t sp, uint32_t ra);

__attribute__((naked, section(".vectors"), used)) void kg_reset(void) {
  __asm__ volatile("la sp, _stack_top\n"
                   "la t0, kg_trap_entry\n"
                   "csrw mtvec, t0\n"
                   "mv a0, sp\n"
                   "j kg_begin\n");
}

/* The lowest 32 bytes of the stack belong to nobody, not even to machine mode (locked entry of the PMP). */
static inline __attribute__((always_inline)) void guard_stack(void) {
  const uint32_t napot_32 = ((uint32_t)(uintptr_t)_stack_bottom >> 2) | 3u;
  const uint32_t locked_napot = 0x98u;
  __asm__ volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" ::"r"(napot_32), "r"(locked_napot));
}

_Noreturn void kg_begin(uint32_t *sp) {
  for (volatile uint32_t *p = _stack_bottom; p < sp - 32; ++p) *p = PAINT;
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
  const uint32_t *p = _stack_bottom + 8; /* the guard cannot be read */
  while (p < _stack_top && *p == PAINT) ++p;
  return (uint32_t)((uintptr_t)_stack_top - (uintptr_t)p);
}

__attribute__((naked, aligned(4))) void kg_trap_entry(void) {
  __asm__ volatile("mv a0, sp\n"
                   "mv a1, ra\n"
                   "la sp, _stack_top\n"
                   "j kg_trap\n");
}

static void overflow(uint32_t sp) {
  kg_text("\nstack overflow: sp=");
  kg_hex(sp);
  kg_text(" limit=");
  kg_hex((uint32_t)(uintptr_t)_stack_bottom);
  kg_text(" reserved=");
  kg_number(kg_stack_bytes());
}

_Noreturn void kg_trap(uint32_t sp, uint32_t ra) {
  uint32_t cause, pc, address;
  __asm__ volatile("csrr %0, mcause\n csrr %1, mepc\n csrr %2, mtval" : "=r"(cause), "=r"(pc), "=r"(address));
  kg_text("\nfault ");
  kg_number(cause);
  kg_text(" address=");
  kg_hex(address);
  const int32_t full = sp < (uint32_t)(uintptr_t)_stack_bottom || address - (uint32_t)(uintptr_t)_stack_bottom < 32u;
  if (full) kg_text(" stack-overflow");
  kg_text(" pc=");
  kg_hex(pc);
  kg_text(" lr=");
  kg_hex(ra);
  if (full) overflow(sp);
  kg_text("\n");
  kg_board_exit(70);
}
