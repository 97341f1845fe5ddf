/* Runs @NAME@ on a made-up sample and prints what comes out@UNIT@. Put your own input into fill_input. */
#include <@NAME@.h>

alignas(@UPPER@_ALIGNMENT) static uint8_t state[@STATE_SIZE@], arena[@UPPER@_ARENA_BYTES];
static @NAME@ m;
static bool ready;

@FILL@

static void show(const char *title, const @NAME@ *m) {
  Serial.print(title);
  for (uint32_t i = 0; i < @UPPER@_OUTPUT_ELEMENTS; i++) {
    Serial.print(' ');
    Serial.print((long)@VALUE@);
  }
  Serial.println();
}

void setup() {
  Serial.begin(115200);
  ready = @NAME@_init(&m, state, arena) == 0;
  if (!ready) Serial.println("state and arena are not aligned");
}

void loop() {
  if (!ready) return;
  fill_input(&m);
  @NAME@_infer(&m);
  show("output:", &m);
@LEARN@  delay(1000);
}
