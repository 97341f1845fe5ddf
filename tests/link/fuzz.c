/* libFuzzer: whatever arrives, the link stays inside its memory. The first input byte chooses how the rest is taken:
 *
 *   0, 1 raw bytes of the wire
 *   else a list of frames, each `type, length, payload…`, sent with right header, checksum and COBS, so that the commands behind
 *        the checksum are reached: type 0xFF sends the payload as raw bytes instead
 *
 * Odd: the link is polled after each piece only, even: after each byte.
 * FUZZ_PLAN in the environment names the plan file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"

uint32_t kg_crc32(const uint8_t *bytes, uint32_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sink(void *context, const uint8_t *bytes, uint32_t count) {
  volatile uint8_t last = 0;
  (void)context;
  for (uint32_t i = 0; i < count; ++i) last = bytes[i]; /* read it all: the sanitizer watches */
  (void)last;
}

static int late; /* bytes go on arriving while a frame waits */

static void receive(board *b, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    kg_link_receive(&b->link, bytes[i]);
    if (!late) (void)kg_link_poll(&b->link);
  }
  (void)kg_link_poll(&b->link);
}

static void send_frame(board *b, uint32_t type, uint32_t sequence, const uint8_t *payload, uint32_t bytes) {
  uint8_t raw[6 + 260 + 4], coded[2 + sizeof raw + 4];
  const uint32_t checksum = b->plan.file ? (uint32_t)b->plan.file[12] | (uint32_t)b->plan.file[13] << 8 |
                                               (uint32_t)b->plan.file[14] << 16 | (uint32_t)b->plan.file[15] << 24
                                         : 0;
  uint32_t n = 0, out = 0, code_at, run = 1;
  raw[n++] = KG_LINK_VERSION;
  raw[n++] = (uint8_t)type;
  raw[n++] = (uint8_t)sequence;
  raw[n++] = (uint8_t)(sequence >> 8);
  const uint32_t named = type >= KG_LINK_DESCRIBE && type <= KG_LINK_FACTORY_RESET ? 4 : 0; /* the plan's checksum first */
  raw[n++] = (uint8_t)(bytes + named);
  raw[n++] = (uint8_t)((bytes + named) >> 8);
  for (uint32_t i = 0; i < named; ++i) raw[n++] = (uint8_t)(checksum >> (8 * i));
  if (bytes) memcpy(raw + n, payload, bytes);
  n += bytes;
  const uint32_t crc = kg_crc32(raw, n);
  for (uint32_t i = 0; i < 4; ++i) raw[n++] = (uint8_t)(crc >> (8 * i));
  coded[out++] = 0;
  code_at = out++;
  for (uint32_t i = 0; i < n; ++i) {
    if (raw[i] != 0) {
      coded[out++] = raw[i];
      ++run;
    }
    if (raw[i] == 0 || run == 255) {
      coded[code_at] = (uint8_t)run;
      code_at = out++;
      run = 1;
    }
  }
  coded[code_at] = (uint8_t)run;
  coded[out++] = 0;
  receive(b, coded, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t file[1 << 20];
  static uint32_t file_bytes;
  if (!file_bytes) {
    const char *name = getenv("FUZZ_PLAN");
    FILE *f = name ? fopen(name, "rb") : NULL;
    if (!f) abort();
    file_bytes = (uint32_t)fread(file, 1, sizeof file, f);
    fclose(f);
  }
  if (size < 1) return 0;
  board *b = board_new(file, file_bytes, KG_LINK_MIN_PAYLOAD + 32, sink);
  if (!b) abort();
  late = data[0] & 1;
  if (data[0] < 2) {
    receive(b, data + 1, size - 1);
  } else {
    send_frame(b, KG_LINK_INFO, 0, NULL, 0);
    uint32_t sequence = 1;
    for (size_t at = 1; at + 2 <= size && sequence < 64; ++sequence) {
      const uint32_t type = data[at], wanted = data[at + 1];
      const uint32_t bytes = wanted < size - at - 2 ? wanted : (uint32_t)(size - at - 2);
      if (type == 0xFF) {
        receive(b, data + at + 2, bytes);
      } else {
        send_frame(b, type, sequence, data + at + 2, bytes);
      }
      at += 2 + bytes;
    }
  }
  board_delete(b);
  return 0;
}
