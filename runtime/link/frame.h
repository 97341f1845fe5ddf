/* Frames on the wire: what kg_link_poll and the commands share. docs/serial-link.md is the specification. */
#ifndef KG_LINK_FRAME_H
#define KG_LINK_FRAME_H

#include "kilograd/link.h"

enum { KG_FRAME_VERSION = 0, KG_FRAME_TYPE = 1, KG_FRAME_SEQUENCE = 2, KG_FRAME_LENGTH = 4 };
enum { KG_FRAME_ANSWER = 0x80, KG_FRAME_AROUND = KG_LINK_HEADER_BYTES + KG_LINK_CRC_BYTES };

/* Numbers are little-endian and stand anywhere. */
static inline uint32_t kg_get16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

static inline uint32_t kg_get32(const uint8_t *p) { return kg_get16(p) | kg_get16(p + 2) << 16; }

static inline void kg_put16(uint8_t *p, uint32_t value) {
  p[0] = (uint8_t)value;
  p[1] = (uint8_t)(value >> 8);
}

static inline void kg_put32(uint8_t *p, uint32_t value) {
  kg_put16(p, value);
  kg_put16(p + 2, value >> 16);
}

/* Send the answer buffer's frame: header and payload are in place, the checksum is added. */
void kg_frame_send(kg_link *link);

/* A request on its way through a command, and the answer that grows. */
typedef struct kg_exchange {
  const uint8_t *in; /* payload of the request */
  uint32_t in_bytes;
  uint8_t *out; /* content of the answer, behind its status */
  uint32_t room;
  uint32_t out_bytes;
  uint32_t detail; /* content of an answer that is not KG_LINK_OK */
} kg_exchange;

/* Carry out the command `type`. */
kg_link_status kg_link_command_run(kg_link *link, uint32_t type, kg_exchange *x);

/* Parts of it: commands on samples, on tensors, on flash. */
kg_link_status kg_link_sample(kg_link *link, uint32_t type, kg_exchange *x);
kg_link_status kg_link_tensor(kg_link *link, uint32_t type, kg_exchange *x);
kg_link_status kg_link_plan_update(kg_link *link, uint32_t type, kg_exchange *x);

#endif
