/* Runs @NAME@ on a made-up sample and prints what comes out@UNIT@. Put your own input into fill_input. */
#include "@NAME@.h"

#include <stdio.h>

static _Alignas(@UPPER@_ALIGNMENT) uint8_t state[@STATE_SIZE@], arena[@UPPER@_ARENA_BYTES];

@FILL@

static void show(const char *title, const @NAME@ *m) {
  printf("%s", title);
  for (uint32_t i = 0; i < @UPPER@_OUTPUT_ELEMENTS; i++) printf(" %ld", (long)@VALUE@);
  printf("\n");
}

@ENTRY@ {
  @NAME@ m;
  if (@NAME@_init(&m, state, arena) != 0) {
    printf("state and arena are not aligned\n");
    return@FAILED@;
  }
  fill_input(&m);
  @NAME@_infer(&m);
  show("output:", &m);
@LEARN@@LEAVE@}
