/* Pairs of 16-bit numbers in 32-bit words, as the DSP extension of Armv7E-M and Armv8-M sees them. Each function is one instruction there;
 * elsewhere plain C with the same bits, so that plans for such a core run on any host. The low half of a word comes first. */
#ifndef KG_COMMON_DSP_SIMD_H
#define KG_COMMON_DSP_SIMD_H

#include <stdint.h>
#include <string.h>

/* Assembly of this folder is used on cores with Thumb-2 and the DSP extension, the C beside it on all others. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define KG_DSP 1
#include <arm_acle.h>
#else
#define KG_DSP 0
#endif

static inline uint32_t kg_load_u32(const void *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline uint32_t kg_pair(int32_t low, int32_t high) { return ((uint32_t)low & 0xFFFFu) | ((uint32_t)high << 16); }
static inline int32_t kg_low(uint32_t pair) { return (int16_t)(pair & 0xFFFFu); }
static inline int32_t kg_high(uint32_t pair) { return (int16_t)(pair >> 16); }

/* Bytes 0 and 2 as a pair. */
static inline uint32_t kg_sxtb16(uint32_t v) {
#if KG_DSP
  return (uint32_t)__sxtb16((int8x4_t)v);
#else
  return kg_pair((int8_t)(v & 0xFFu), (int8_t)((v >> 16) & 0xFFu));
#endif
}

/* Bytes 1 and 3 as a pair. */
static inline uint32_t kg_sxtb16_ror8(uint32_t v) { return kg_sxtb16((v >> 8) | (v << 24)); }

/* Bytes 0 and 2 (1 and 3) added to a pair, each half modulo 2^16. */
static inline uint32_t kg_sxtab16(uint32_t pair, uint32_t v) {
#if KG_DSP
  return (uint32_t)__sxtab16((int16x2_t)pair, (int8x4_t)v);
#else
  return kg_pair(kg_low(pair) + (int8_t)(v & 0xFFu), kg_high(pair) + (int8_t)((v >> 16) & 0xFFu));
#endif
}

static inline uint32_t kg_sxtab16_ror8(uint32_t pair, uint32_t v) { return kg_sxtab16(pair, (v >> 8) | (v << 24)); }

/* acc + low * low + high * high, modulo 2^32. */
static inline int32_t kg_smlad(uint32_t a, uint32_t b, int32_t acc) {
#if KG_DSP
  return __smlad((int16x2_t)a, (int16x2_t)b, acc);
#else
  return (int32_t)((uint32_t)acc + (uint32_t)(kg_low(a) * kg_low(b)) + (uint32_t)(kg_high(a) * kg_high(b)));
#endif
}

/* acc + floor(a * b / 2^32), modulo 2^32 (SMMLA). */
static inline int32_t kg_smmla(int32_t a, int32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)(int32_t)(((int64_t)a * b) >> 32));
}

#endif
