/* A board made of memory, for tests: a session over a plan file, and a link with every hook. */
#ifndef TESTS_LINK_BOARD_H
#define TESTS_LINK_BOARD_H

#include "kilograd/link.h"

typedef struct board {
  kg_session session;
  kg_plan plan;
  kg_link link;
  uint8_t *request, *answer, *file, *state, *arena, *saved, *update;
  uint32_t state_room, arena_room, saved_bytes, update_bytes, update_crc, update_at;
  uint32_t has_saved, busy, erases;
  uint64_t ticks;
} board;

enum { BOARD_PLAN_ROOM = 65536, BOARD_PLAN_UNIT = 8 };

/* Take a plan file into memory of exactly its size. NULL when it is no plan. `payload`: of the link's buffers. */
board *board_new(const uint8_t *file, uint32_t bytes, uint32_t payload, void (*write)(void *, const uint8_t *, uint32_t));
void board_delete(board *b);

#endif
