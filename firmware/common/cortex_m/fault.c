/* A fault says where it happened, then ends the program. */
#include "board.h"
#include "text.h"

extern uint32_t _stack_bottom[], _stack_top[];
extern const uint16_t _code_start[] __attribute__((weak)), _code_end[] __attribute__((weak)); /* a linker script may not say it */

enum { GUARD_WORDS = 8 };

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

/* Where a call of this program returns to: behind a BL or BLX. */
static int32_t returns_here(uint32_t word) {
  const uint32_t start = (uint32_t)(uintptr_t)_code_start, end = (uint32_t)(uintptr_t)_code_end;
  if ((word & 1u) == 0 || word < start + 4u || word >= end) return 0;
  const uint16_t *next = (const uint16_t *)(uintptr_t)(word & ~1u);
  return ((next[-2] & 0xF800u) == 0xF000u && (next[-1] & 0xD000u) == 0xD000u) || (next[-1] & 0xFF87u) == 0x4780u;
}

/* What is known when the stack ran over. The frame with pc and lr is not there then; the deepest return address that is still on the
 * stack is: the function that it is in called the one that ran over, or one further down did. */
static void overflow(const uint32_t *frame) {
  const uint32_t *p = (frame > _stack_bottom ? frame : _stack_bottom) + GUARD_WORDS;
  while (p < _stack_top && !returns_here(*p)) ++p;
  kg_text("\nstack overflow: sp=");
  kg_hex((uint32_t)(uintptr_t)frame);
  kg_text(" limit=");
  kg_hex((uint32_t)(uintptr_t)_stack_bottom);
  kg_text(" reserved=");
  kg_number(kg_stack_bytes());
  kg_text(" called-from=");
  kg_hex(p < _stack_top ? *p & ~1u : 0);
}

static void place(uint32_t pc, uint32_t lr) {
  kg_text(" pc=");
  kg_hex(pc);
  kg_text(" lr=");
  kg_hex(lr);
}

_Noreturn void kg_fault(const uint32_t *frame, uint32_t exc_return) {
  int32_t whole = frame >= _stack_bottom && frame + 8 <= _stack_top, full = !whole;
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
  /* STKOF, STKERR, MSTKERR, or an access to the guard */
  const int32_t guard = (cfsr & 0x80u) != 0 && scb[3] - (uint32_t)(uintptr_t)_stack_bottom < 4u * GUARD_WORDS;
  full = full || guard || (cfsr & 0x101010u) != 0;
  /* else the core could not write it; it stops at its limit then */
  whole = whole && (cfsr & 0x1010u) == 0 && !((cfsr & 0x100000u) != 0 && frame == _stack_bottom);
#endif
  if (full) kg_text(" stack-overflow");
  if (whole) place(frame[6], frame[5]);
  kg_text(" exc_return=");
  kg_hex(exc_return);
  if (full) overflow(frame);
  kg_text("\n");
  kg_board_exit(70);
}
