/* A fault says where it happened, then ends the program. */
#include "board.h"
#include "text.h"

extern uint32_t _stack_bottom[], _stack_top[];

void kg_fault_entry(void);
__attribute__((used)) _Noreturn void kg_fault(const uint32_t *frame, uint32_t exc_return);

/* A stack that is full, or that was left, cannot carry the report: start again at its top. Else keep it: the frame with pc and lr is there. */
__attribute__((naked)) void kg_fault_entry(void) {
  __asm__ volatile(".syntax unified\n"
                   "mrs r0, msp\n"
                   "mov r1, lr\n"
                   "ldr r2, =_stack_bottom + 320\n"
                   "cmp r0, r2\n"
                   "bhs 1f\n"
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
                   "movs r2, #0\n"
                   "msr msplim, r2\n"
#endif
                   "ldr r2, =_stack_top\n"
                   "mov sp, r2\n"
                   "1: ldr r2, =kg_fault\n"
                   "bx r2\n");
}

_Noreturn void kg_fault(const uint32_t *frame, uint32_t exc_return) {
  const int32_t whole = frame >= _stack_bottom && frame + 8 <= _stack_top;
  const uint32_t pc = whole ? frame[6] : 0, lr = whole ? frame[5] : 0;
  uint32_t number;
  __asm__ volatile("mrs %0, ipsr" : "=r"(number));
  kg_text("\nfault ");
  kg_number(number);
#if !defined(__ARM_ARCH_6M__)
  *(volatile uint32_t *)0xE000ED94u = 0; /* no MPU any more: the guard has done its work, and debuggers translate whole pages */
  const volatile uint32_t *scb = (const volatile uint32_t *)0xE000ED28u; /* CFSR, HFSR, DFSR, MMFAR, BFAR */
  const uint32_t cfsr = scb[0];
  kg_text(" cfsr=");
  kg_hex(cfsr);
  kg_text(" address=");
  kg_hex(cfsr & 0x80u ? scb[3] : cfsr & 0x8000u ? scb[4] : 0);
  /* MSTKERR, STKOF, or an access to the guard */
  const int32_t guard = (cfsr & 0x80u) != 0 && scb[3] - (uint32_t)(uintptr_t)_stack_bottom < 32u;
  if ((cfsr & 0x100010u) != 0 || guard || !whole) kg_text(" stack-overflow");
#else
  if (!whole) kg_text(" stack-overflow");
#endif
  kg_text(" pc=");
  kg_hex(pc);
  kg_text(" lr=");
  kg_hex(lr);
  kg_text(" exc_return=");
  kg_hex(exc_return);
  kg_text("\n");
  kg_board_exit(70);
}
