/* COBS frames with a checksum, one byte at a time. */
#include "frame.h"

#include <stdatomic.h>

/* CRC-32 (IEEE 802.3, reflected) of one more byte. No table: a serial line is slower than this. */
static uint32_t crc_step(uint32_t crc, uint8_t byte) {
  crc ^= byte;
  for (uint32_t i = 0; i < 8; ++i) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  return crc;
}

#define CRC_START 0xFFFFFFFFu
/* The register after a message with its own checksum behind it: the same for every message. */
#define CRC_RESIDUE 0xDEBB20E3u

static void begin_frame(kg_link *link) {
  link->length = 0;
  link->crc = CRC_START;
  link->run = 0;
  link->zero = 0;
}

static void put(kg_link *link, uint8_t byte) {
  if (link->length < link->config.request_bytes) link->config.request[link->length] = byte;
  if (++link->length > KG_LINK_BUFFER(KG_LINK_MAX_PAYLOAD)) link->skip = 1; /* longer than a frame can be */
  link->crc = crc_step(link->crc, byte);
}

static void end_frame(kg_link *link) {
  if (!link->skip && link->run == 0 && link->length >= KG_FRAME_AROUND && link->crc == CRC_RESIDUE) {
    atomic_signal_fence(memory_order_release); /* the frame is complete before the main loop sees that it is ready */
    link->ready = 1;
    return;
  }
  if (link->length || link->skip) ++link->damaged;
  link->skip = 0;
  begin_frame(link);
}

void kg_link_receive(kg_link *link, uint8_t byte) {
  if (link->ready) { /* the buffer is in use: this frame is lost, and sent again */
    link->skip = byte != 0;
  } else if (byte == 0) {
    end_frame(link);
  } else if (link->skip) {
    return;
  } else if (link->run) {
    put(link, byte);
    --link->run;
  } else { /* a COBS code: distance to the next zero, 255 for 254 bytes without one */
    if (link->zero) put(link, 0);
    link->run = (uint8_t)(byte - 1);
    link->zero = byte != 255;
  }
}

static void encode(const kg_link_config *to, const uint8_t *bytes, uint32_t count) {
  static const uint8_t end = 0;
  to->write(to->write_context, &end, 1); /* ends what noise may have begun */
  for (uint32_t i = 0;;) {
    uint32_t run = 0;
    while (run < 254 && i + run < count && bytes[i + run] != 0) ++run;
    const uint8_t code = (uint8_t)(run + 1);
    to->write(to->write_context, &code, 1);
    if (run) to->write(to->write_context, bytes + i, run);
    i += run;
    if (i == count) break;
    if (run < 254) ++i; /* the zero that the code stands for */
  }
  to->write(to->write_context, &end, 1);
}

void kg_frame_send(kg_link *link) {
  uint8_t *answer = link->config.answer;
  const uint32_t count = KG_LINK_HEADER_BYTES + link->answer_length;
  uint32_t crc = CRC_START;
  for (uint32_t i = 0; i < count; ++i) crc = crc_step(crc, answer[i]);
  kg_put32(answer + count, ~crc);
  encode(&link->config, answer, count + KG_LINK_CRC_BYTES);
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Do the request in the buffer and put its answer into the answer buffer. */
static void answer_request(kg_link *link) {
  const uint8_t *request = link->config.request;
  uint8_t *answer = link->config.answer;
  const uint32_t type = request[KG_FRAME_TYPE];
  uint8_t *payload = answer + KG_LINK_HEADER_BYTES;
  kg_exchange x = {request + KG_LINK_HEADER_BYTES, 0, payload + 1, 0, 0, 0};
  x.room = least(link->config.answer_bytes - KG_FRAME_AROUND, KG_LINK_MAX_PAYLOAD) - 1;
  kg_link_status status;
  if (request[KG_FRAME_VERSION] != KG_LINK_VERSION) {
    link->open = 0; /* another host */
    x.detail = KG_LINK_VERSION;
    status = KG_LINK_WRONG_VERSION;
  } else if (link->length > link->config.request_bytes) {
    x.detail = least(link->config.request_bytes - KG_FRAME_AROUND, KG_LINK_MAX_PAYLOAD);
    status = KG_LINK_OVERSIZE;
  } else if (kg_get16(request + KG_FRAME_LENGTH) != link->length - KG_FRAME_AROUND) {
    status = KG_LINK_BAD_REQUEST;
  } else {
    x.in_bytes = link->length - KG_FRAME_AROUND;
    status = kg_link_command_run(link, type, &x);
  }
  if (status != KG_LINK_OK) {
    kg_put32(x.out, x.detail);
    x.out_bytes = 4;
  }
  answer[KG_FRAME_VERSION] = KG_LINK_VERSION;
  answer[KG_FRAME_TYPE] = (uint8_t)(type | KG_FRAME_ANSWER);
  answer[KG_FRAME_SEQUENCE] = request[KG_FRAME_SEQUENCE];
  answer[KG_FRAME_SEQUENCE + 1] = request[KG_FRAME_SEQUENCE + 1];
  payload[0] = (uint8_t)status;
  link->answer_length = 1 + x.out_bytes;
  kg_put16(answer + KG_FRAME_LENGTH, link->answer_length);
}

/* 1: there is an answer to send. */
static int32_t handle(kg_link *link) {
  const uint8_t *request = link->config.request;
  const uint32_t type = request[KG_FRAME_TYPE];
  const uint16_t sequence = (uint16_t)kg_get16(request + KG_FRAME_SEQUENCE);
  if (type & KG_FRAME_ANSWER) return 0; /* an echo of our own, or another device */
  if (link->open && type != KG_LINK_INFO && request[KG_FRAME_VERSION] == KG_LINK_VERSION) {
    const uint32_t ahead = (uint16_t)(sequence - link->sequence);
    if (ahead == 0) { /* asked again: the answer was lost */
      ++link->repeated;
      return link->config.answer[KG_FRAME_TYPE] == (type | KG_FRAME_ANSWER);
    }
    if (ahead > 0x7FFF) return 0; /* an old request that comes late: nobody waits for its answer */
  }
  link->sequence = sequence;
  answer_request(link);
  return 1;
}

int32_t kg_link_poll(kg_link *link) {
  if (!link->ready) return 0;
  atomic_signal_fence(memory_order_acquire);
  ++link->frames;
  if (handle(link)) kg_frame_send(link);
  begin_frame(link);
  atomic_signal_fence(memory_order_release);
  link->ready = 0;
  return 1;
}

kg_status kg_link_init(kg_link *link, kg_session *session, const kg_link_config *config) {
  if (!link || !config || !config->request || !config->answer || !config->write) return KG_BAD_ARGUMENT;
  if (config->request_bytes < KG_LINK_BUFFER(KG_LINK_MIN_PAYLOAD)) return KG_TOO_SMALL;
  if (config->answer_bytes < KG_LINK_BUFFER(KG_LINK_MIN_PAYLOAD)) return KG_TOO_SMALL;
  if (config->app && config->app->plan_unit > config->request_bytes - KG_LINK_BUFFER(4)) return KG_TOO_SMALL;
  *link = (kg_link){0};
  link->config = *config;
  link->session = session;
  begin_frame(link);
  return KG_OK;
}
