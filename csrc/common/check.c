#include "check.h"

#include <string.h>

#define KG_CHECK_MAX_BYTES ((int64_t)1 << KG_REF_OFFSET_BITS)

void kg_check_begin(kg_check *c) {
  c->ok = 1;
  c->operands = 0;
}

static uint32_t segment_bytes(const kg_check *c, uint32_t segment) {
  switch (segment) {
  case KG_SEG_CONST: return c->const_bytes;
  case KG_SEG_STATE: return c->state_bytes;
  case KG_SEG_ARENA: return c->arena_bytes;
  default: return 0;
  }
}

static void add_operand(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align, uint32_t written, kg_ref alias) {
  uint32_t segment = kg_ref_segment(ref);
  uint32_t offset = kg_ref_offset(ref);
  if (bytes < 0 || bytes > KG_CHECK_MAX_BYTES || segment == KG_SEG_NONE || offset % align != 0 ||
      (int64_t)offset + bytes > (int64_t)segment_bytes(c, segment) || (written && segment == KG_SEG_CONST) ||
      c->operands == KG_CHECK_MAX_OPERANDS) {
    c->ok = 0;
    return;
  }
  kg_operand *o = &c->operand[c->operands++];
  o->ref = ref;
  o->bytes = (uint32_t)bytes;
  o->written = written;
  o->alias = alias;
}

void kg_check_read(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align) { add_operand(c, ref, bytes, align, 0, KG_REF_NONE); }

void kg_check_write(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align, kg_ref alias) {
  add_operand(c, ref, bytes, align, 1, alias);
}

void kg_check_read_opt(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align) {
  if (ref != KG_REF_NONE) add_operand(c, ref, bytes, align, 0, KG_REF_NONE);
}

void kg_check_write_opt(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align) {
  if (ref != KG_REF_NONE) add_operand(c, ref, bytes, align, 1, KG_REF_NONE);
}

void kg_check_range(kg_check *c, int64_t value, int64_t lo, int64_t hi) {
  if (value < lo || value > hi) c->ok = 0;
}

void kg_check_s8(kg_check *c, int32_t value) { kg_check_range(c, value, -128, 127); }

void kg_check_clamp(kg_check *c, int32_t lo, int32_t hi) {
  kg_check_range(c, lo, -128, hi);
  kg_check_range(c, hi, lo, 127);
}

static const uint8_t *table(kg_check *c, kg_ref ref, int64_t bytes, uint32_t align) {
  if (bytes < 0 || kg_ref_segment(ref) != KG_SEG_CONST || kg_ref_offset(ref) % align != 0 ||
      (int64_t)kg_ref_offset(ref) + bytes > (int64_t)c->const_bytes) {
    c->ok = 0;
    return NULL;
  }
  return c->constant + kg_ref_offset(ref);
}

void kg_check_table_s8(kg_check *c, kg_ref ref, int64_t count, int32_t lo, int32_t hi) {
  const uint8_t *p = table(c, ref, count, 1);
  for (int64_t i = 0; p && i < count; ++i) {
    int32_t v = (int8_t)p[i];
    if (v < lo || v > hi) c->ok = 0;
  }
}

void kg_check_table_s32(kg_check *c, kg_ref ref, int64_t count, int32_t lo, int32_t hi) {
  const uint8_t *p = table(c, ref, count * 4, 4);
  for (int64_t i = 0; p && i < count; ++i) {
    int32_t v;
    memcpy(&v, p + 4 * i, 4);
    if (v < lo || v > hi) c->ok = 0;
  }
}

void kg_check_requantize(kg_check *c, kg_ref multiplier, kg_ref shift, int32_t channels) {
  kg_check_table_s32(c, multiplier, channels, 0, INT32_MAX);
  kg_check_table_s8(c, shift, channels, -31, 30);
}

int64_t kg_check_mul(kg_check *c, int64_t a, int64_t b) {
  if (a < 0 || b < 0 || (b > 0 && a > KG_CHECK_MAX_BYTES / b)) {
    c->ok = 0;
    return 0;
  }
  return a * b;
}

int64_t kg_check_mul3(kg_check *c, int64_t x, int64_t y, int64_t z) { return kg_check_mul(c, kg_check_mul(c, x, y), z); }

void kg_check_error_in(kg_check *c, kg_ref data, kg_ref exponent, int64_t bytes) {
  kg_check_read(c, data, bytes, 1);
  kg_check_read(c, exponent, (int64_t)sizeof(kg_exponent), 4);
}

void kg_check_error_out(kg_check *c, const kg_error_out *out, int64_t bytes, kg_ref alias) {
  kg_check_write(c, out->data, bytes, 1, alias);
  kg_check_write(c, out->exponent, (int64_t)sizeof(kg_exponent), 4, KG_REF_NONE);
  kg_check_read(c, out->train, (int64_t)sizeof(kg_train_state), 4);
}

void kg_check_update_rates(kg_check *c, const kg_update *u, int32_t channels) {
  kg_check_range(c, u->rounding, KG_ROUND_STOCHASTIC, KG_ROUND_NEAREST);
  kg_check_read(c, u->train, (int64_t)sizeof(kg_train_state), 4);
  kg_check_read(c, u->mantissa, 4 * (int64_t)channels, 4);
  kg_check_table_s32(c, u->mantissa, channels, 0, INT32_MAX);
  kg_check_read(c, u->exponent, channels, 1);
}

void kg_check_update(kg_check *c, const kg_update *u, kg_ref weights, int64_t count, int32_t channels) {
  kg_check_update_rates(c, u, channels);
  if (u->pending != KG_REF_NONE) {
    kg_check_write(c, u->pending, kg_check_mul(c, count, 4), 4, KG_REF_NONE);
  } else {
    kg_check_write(c, weights, count, 1, KG_REF_NONE);
    kg_check_write_opt(c, u->fraction, count, 1);
  }
}

int32_t kg_check_end(kg_check *c) {
  for (int32_t i = 0; i < c->operands; ++i) {
    const kg_operand *a = &c->operand[i];
    for (int32_t j = i + 1; j < c->operands; ++j) {
      const kg_operand *b = &c->operand[j];
      if (!a->written && !b->written) continue;
      if (kg_ref_segment(a->ref) != kg_ref_segment(b->ref)) continue;
      if (a->ref == b->ref && (a->alias == b->ref || b->alias == a->ref)) continue;
      uint32_t a0 = kg_ref_offset(a->ref), b0 = kg_ref_offset(b->ref);
      if (a->bytes && b->bytes && a0 < b0 + b->bytes && b0 < a0 + a->bytes) c->ok = 0;
    }
  }
  return c->ok;
}
