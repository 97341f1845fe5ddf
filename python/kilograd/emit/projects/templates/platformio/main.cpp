/* Runs @NAME@ on a made-up sample and prints what comes out@UNIT@: on a board with the Arduino framework, or here (env native).
 * Put your own input into fill_input. */
#include <@NAME@.h>

#ifdef ARDUINO
#include <Arduino.h>
static void print(const char *text) { Serial.print(text); }
static void print(long value) { Serial.print(value); }
#else
#include <stdio.h>
static void print(const char *text) { fputs(text, stdout); }
static void print(long value) { printf("%ld", value); }
#endif

alignas(@UPPER@_ALIGNMENT) static uint8_t state[@STATE_SIZE@], arena[@UPPER@_ARENA_BYTES];

@FILL@

static void show(const char *title, const @NAME@ *m) {
  print(title);
  for (uint32_t i = 0; i < @UPPER@_OUTPUT_ELEMENTS; i++) {
    print(" ");
    print((long)@VALUE@);
  }
  print("\n");
}

static int run() {
  @NAME@ m;
  if (@NAME@_init(&m, state, arena) != 0) {
    print("state and arena are not aligned\n");
    return 1;
  }
  fill_input(&m);
  @NAME@_infer(&m);
  show("output:", &m);
@LEARN@  return 0;
}

#ifdef ARDUINO
void setup() {
  Serial.begin(115200);
}

void loop() {
  run();
  delay(1000);
}
#else
int main() {
  return run();
}
#endif
