#include <string.h>

#include "softmax_cross_entropy.h"

/* Entries lie in 2^14..2^15, so that the sum is never zero and p never leaves Q15. */
static void check_table(kg_check *c, kg_ref ref) {
  if (kg_ref_segment(ref) != KG_SEG_CONST) c->ok = 0;
  if (!c->ok) return;
  const uint8_t *p = c->constant + kg_ref_offset(ref);
  for (int32_t i = 0; i < 256; ++i) {
    uint16_t v;
    memcpy(&v, p + 2 * i, 2);
    kg_check_range(c, v, 1 << 14, 1 << 15);
  }
}

int32_t kg_softmax_cross_entropy_check(const kg_softmax_cross_entropy_args *a, kg_check *c) {
  kg_check_range(c, a->classes, 1, 1 << 16);
  kg_check_range(c, a->scale, 1, 1 << 23);
  kg_check_range(c, a->threshold, 0, 1 << 15);
  if (!c->ok) return 0;
  kg_check_read(c, a->logits, a->classes, 1);
  kg_check_read(c, a->label, 4, 4);
  kg_check_write(c, a->error, a->classes, 1, KG_REF_NONE);
  kg_check_write(c, a->exponent, (int64_t)sizeof(kg_exponent), 4, KG_REF_NONE);
  kg_check_write(c, a->train, (int64_t)sizeof(kg_train_state), 4, KG_REF_NONE);
  kg_check_read(c, a->table, 512, 2);
  check_table(c, a->table);
  return kg_check_end(c);
}
