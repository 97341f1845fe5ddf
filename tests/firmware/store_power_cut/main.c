/* Say which state is there, all of its bytes looked at, and save three more; the power may fail meanwhile. */
#include <string.h>

#include "board.h"
#include "kilograd/store.h"
#include "text.h"

enum { STATE_BYTES = 100, NOTHING = 0xFFFFFFFF };

static uint32_t state[STATE_BYTES / 4], wanted[STATE_BYTES / 4], snapshot[STATE_BYTES / 4];

/* State number n: nothing of it is like another's. */
static void fill(uint32_t *words, uint32_t n) {
  uint32_t x = n * 2654435761u + 1u;
  words[0] = n;
  for (uint32_t i = 1; i < STATE_BYTES / 4; ++i) words[i] = x = x * 1664525u + 1013904223u;
}

static void say(const char *word, uint32_t n) {
  kg_text(word);
  kg_number(n);
  kg_text("\n");
}

/* In steps from a snapshot, with the state changing meanwhile. */
static kg_store_status save(kg_store *store) {
  kg_store_status status = kg_store_begin(store, state, snapshot);
  if (status != KG_STORE_OK) return status;
  do {
    state[1] += 1;
    status = kg_store_step(store);
  } while (status == KG_STORE_MORE);
  return status;
}

int main(void) {
  kg_flash flash;
  kg_store store;
  kg_board_init();
  kg_board_flash(&flash);
  flash.sectors = KG_STORE_SECTORS;
  uint32_t n = 0;
  const kg_store_status found = kg_store_open(&store, &flash, STATE_BYTES, 0xC0FFEE);
  if (found == KG_STORE_OK) {
    if (kg_store_load(&store, state) != KG_STORE_OK) return 2;
    n = state[0];
    fill(wanted, n);
    if (memcmp(state, wanted, sizeof state) != 0) {
      say("mixture ", n);
      return 3;
    }
  } else if (found != KG_STORE_EMPTY) {
    say("status ", (uint32_t)found);
    return 4;
  }
  say("found ", n);
  for (uint32_t i = 1; i <= 3; ++i) {
    fill(state, n + i);
    say("begin ", n + i);
    if (save(&store) != KG_STORE_OK) return 5;
    say("saved ", n + i);
  }
  return 0;
}
