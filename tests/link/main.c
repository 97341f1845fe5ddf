/* board FILE PAYLOAD [BUSY]: a board that speaks on standard input and output, until input ends. FILE '-': no plan. BUSY: so many
 * saves are refused first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"

static void send(void *context, const uint8_t *bytes, uint32_t count) {
  (void)context;
  if (fwrite(bytes, 1, count, stdout) != count) exit(0);
}

int main(int argc, char **argv) {
  static uint8_t file[1 << 20], input[4096];
  if (argc < 3) return 2;
  uint32_t bytes = 0;
  if (strcmp(argv[1], "-") != 0) {
    FILE *f = fopen(argv[1], "rb");
    if (!f) return 3;
    bytes = (uint32_t)fread(file, 1, sizeof file, f);
    fclose(f);
  }
  board *b = board_new(file, bytes, (uint32_t)strtoul(argv[2], NULL, 10), send);
  if (!b) return 4;
  if (argc > 3) b->busy = (uint32_t)strtoul(argv[3], NULL, 10);
  for (ssize_t n; (n = read(0, input, sizeof input)) > 0;) {
    for (ssize_t i = 0; i < n; ++i) {
      kg_link_receive(&b->link, input[i]);
      if (kg_link_poll(&b->link)) fflush(stdout);
    }
  }
  board_delete(b);
  return 0;
}
