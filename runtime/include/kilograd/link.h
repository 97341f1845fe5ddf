/* kilograd over a serial line: the device side of the protocol that docs/serial-link.md specifies.
 *
 *     static uint8_t request[KG_LINK_BUFFER(256)], answer[KG_LINK_BUFFER(256)];
 *     static kg_link link;
 *     const kg_link_config config = {.request = request, .request_bytes = sizeof request, .answer = answer,
 *                                    .answer_bytes = sizeof answer, .write = uart_write, .board = "my-board", .app = &app};
 *     if (kg_link_init(&link, &session, &config) != KG_OK) ...
 *
 *     kg_link_receive(&link, byte);       for each byte that arrives: in the receive interrupt, or in the main loop
 *     for (;;) kg_link_poll(&link);       in the main loop: does the work and sends the answer
 *
 * A host can then infer, train, evaluate, read and write tensors over the session. What only the application can do (flash,
 * counters, another plan) it does through the hooks of kg_link_app; a hook that is NULL makes its command answer
 * KG_LINK_UNSUPPORTED.
 *
 * Rules: no heap, no global variables, no input or output but `write`. Whatever bytes arrive, nothing outside the buffers and
 * the tensors of the plan is read or written. A damaged frame is dropped without an answer, and the host sends it again; a
 * request that was done already is not done again, its answer is sent again. */
#ifndef KILOGRAD_LINK_H
#define KILOGRAD_LINK_H

#include "kilograd/kilograd.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KG_LINK_VERSION 1
/* A frame before COBS: header, payload, CRC-32. */
enum { KG_LINK_HEADER_BYTES = 6, KG_LINK_CRC_BYTES = 4, KG_LINK_MIN_PAYLOAD = 96, KG_LINK_MAX_PAYLOAD = 65535 };
/* Buffer for frames of that payload, which is at least KG_LINK_MIN_PAYLOAD. 96 suits boards with 8 KB of RAM, 1024 is faster. */
#define KG_LINK_BUFFER(payload) (KG_LINK_HEADER_BYTES + (payload) + KG_LINK_CRC_BYTES)

/* Byte 0 of every answer. */
typedef enum kg_link_status {
  KG_LINK_OK = 0,
  KG_LINK_UNKNOWN_COMMAND, /* no command of that number */
  KG_LINK_WRONG_VERSION,   /* frame of another protocol version */
  KG_LINK_OVERSIZE,        /* the frame is longer than the board's buffer; detail: the longest payload */
  KG_LINK_BAD_REQUEST,     /* the payload has not the length or the values that its command wants */
  KG_LINK_NO_CONVERSATION, /* no info request since the board started: it has restarted */
  KG_LINK_NO_PLAN,         /* the board has no plan */
  KG_LINK_WRONG_PLAN,      /* the request is for another plan; detail: checksum of the board's */
  KG_LINK_BAD_ORDER,       /* a chunk is not the next one; detail: the offset that is wanted */
  KG_LINK_NOT_FOUND,       /* no tensor of that name or index */
  KG_LINK_OUT_OF_RANGE,    /* beyond the end of the tensor or of the plan; detail: its bytes */
  KG_LINK_READ_ONLY,       /* constants cannot be written */
  KG_LINK_CANNOT_TRAIN,    /* the plan was compiled for inference */
  KG_LINK_UNSUPPORTED,     /* this board cannot do that */
  KG_LINK_BUSY,            /* not now: flash is at work, try again */
  KG_LINK_FLASH_FULL,      /* it does not fit into the flash kept for it; detail: bytes there are */
  KG_LINK_FLASH_ERROR,     /* erasing or programming failed */
  KG_LINK_NOTHING_SAVED,   /* no valid checkpoint of this plan */
  KG_LINK_PLAN_REFUSED,    /* the new plan did not pass its checks; detail: kg_status. The old plan stays */
  KG_LINK_TOO_SMALL,       /* the new plan needs more memory than the board has; detail: bytes needed */
  KG_LINK_RUN_FAILED       /* detail: kg_status */
} kg_link_status;

/* Commands: the type byte of a request. The answer has the same with the top bit set. */
typedef enum kg_link_command {
  KG_LINK_INFO = 1, /* opens a conversation */
  KG_LINK_DESCRIBE, /* a tensor by role and index */
  KG_LINK_FIND,     /* a tensor by name */
  KG_LINK_INFER,
  KG_LINK_TRAIN,
  KG_LINK_EVALUATE,
  KG_LINK_READ,
  KG_LINK_WRITE,
  KG_LINK_SAVE,
  KG_LINK_LOAD,
  KG_LINK_FACTORY_RESET,
  KG_LINK_STATISTICS,
  KG_LINK_PLAN_BEGIN,
  KG_LINK_PLAN_WRITE,
  KG_LINK_PLAN_COMMIT
} kg_link_command;

/* What ticks count. An emulator's are instructions, not cycles. */
typedef enum kg_link_unit { KG_LINK_NO_TICKS = 0, KG_LINK_CYCLES, KG_LINK_INSTRUCTIONS, KG_LINK_MICROSECONDS } kg_link_unit;

/* Whether a save goes on after its answer. */
typedef enum kg_link_saving { KG_LINK_NOT_SAVING = 0, KG_LINK_SAVING, KG_LINK_SAVE_FAILED } kg_link_saving;

/* Filled by the statistics hook; what the application does not know stays 0. */
typedef struct kg_link_statistics {
  uint32_t stack_bytes;    /* reserved for the stack */
  uint32_t stack_used;     /* its high-water mark since the start */
  uint32_t erases;         /* sectors erased in the life of the store */
  uint32_t saved_sequence; /* number of the newest checkpoint, 0: none */
  uint32_t saving;         /* kg_link_saving */
} kg_link_statistics;

/* What the application does for the link. `context` is passed to every hook; every hook may be NULL. They are called from
 * kg_link_poll, one at a time. */
typedef struct kg_link_app {
  void *context;
  /* Keep the session's state in flash. KG_LINK_OK means that it is there; or, when the application saves while other work goes on, that the
   * state of this moment will be, and then the statistics say how that stands. */
  kg_link_status (*save)(void *context);
  /* Put the newest checkpoint back into the session's state. */
  kg_link_status (*load)(void *context);
  /* Forget the checkpoints. The link itself puts the session back to factory state. Without this hook it does only that. */
  kg_link_status (*factory_reset)(void *context);
  void (*statistics)(void *context, kg_link_statistics *statistics);
  /* A counter that only goes up: the link measures inferences and training steps with it. */
  uint64_t (*ticks)(void *context);
  kg_link_unit ticks_unit;

  /* A new plan: begin makes room for `bytes`, of which `crc` is the CRC-32 of the whole file (as zlib). Then write is called
   * with the file from the first byte to the last, each time with a multiple of plan_unit bytes but the last time. `data` need
   * not be aligned. commit checks size, crc and kg_plan_open, and only then makes the plan active, for instance with
   * kg_session_init on the session that the link has. The application may also restart the board once kg_link_poll has
   * returned. On any failure the old plan stays. */
  kg_link_status (*plan_begin)(void *context, uint32_t bytes, uint32_t crc);
  kg_link_status (*plan_write)(void *context, uint32_t offset, const uint8_t *data, uint32_t bytes);
  kg_link_status (*plan_commit)(void *context, uint32_t *detail);
  uint32_t plan_unit;  /* bytes that flash programs at a time; 0 is taken as 1 */
  uint32_t plan_bytes; /* largest plan file that fits, told to the host */
} kg_link_app;

typedef struct kg_link_config {
  uint8_t *request; /* KG_LINK_BUFFER(payload) bytes each */
  uint32_t request_bytes;
  uint8_t *answer; /* keeps the last answer, to send it again */
  uint32_t answer_bytes;
  /* Send bytes; returns when they are sent or queued. */
  void (*write)(void *context, const uint8_t *bytes, uint32_t count);
  void *write_context;
  const char *board;      /* name, told to the host */
  const kg_link_app *app; /* NULL: no hooks */
} kg_link_config;

/* One serial line. The fields belong to the link. */
typedef struct kg_link {
  kg_link_config config;
  kg_session *session;
  /* frame being received: kg_link_receive */
  uint32_t length;        /* decoded bytes; those that do not fit are counted only */
  uint32_t crc;           /* over them */
  uint8_t run;            /* bytes until the next COBS code */
  uint8_t zero;           /* a zero follows this block, if the frame goes on */
  uint8_t skip;           /* the rest of this frame is dropped */
  volatile uint8_t ready; /* a whole frame waits for kg_link_poll */
  /* conversation */
  uint8_t open;      /* there was an info request */
  uint8_t streaming; /* command whose sample is arriving, 0: none */
  uint16_t sequence; /* of the newest request */
  uint32_t answer_length;
  uint32_t received;  /* bytes of the sample so far */
  uint32_t plan_size; /* of the plan that is arriving, 0: none */
  uint32_t plan_at;
  uint64_t infer_ticks, train_ticks; /* of the last run */
  uint32_t frames, damaged, repeated;
} kg_link;

/* `session` may have no plan yet (session->plan NULL): everything that needs one answers KG_LINK_NO_PLAN.
 * KG_TOO_SMALL: a buffer is smaller than KG_LINK_BUFFER(KG_LINK_MIN_PAYLOAD), or a unit of plan_unit bytes does not fit into a
 * request. */
kg_status kg_link_init(kg_link *link, kg_session *session, const kg_link_config *config);

/* Take one byte: a few instructions a byte and no calls to the application, so that an interrupt handler may call it. While a
 * frame waits for kg_link_poll, bytes are dropped. */
void kg_link_receive(kg_link *link, uint8_t byte);

/* Carry out the request that has arrived, if any, and send its answer. Returns 1 when there was one. */
int32_t kg_link_poll(kg_link *link);

#ifdef __cplusplus
}
#endif

#endif
