/* Random numbers that are a pure function of where they are used.
 *
 * kg_random_start hashes (seed, step, tensor); kg_random_at picks the number of one element, by its linear index in the tensor, out
 * of a Weyl sequence behind a multiply-xorshift finaliser. No state is carried from one element to the next, so neither order of evaluation nor
 * fusing, streaming or threads can change a bit. Good enough for stochastic rounding, and nothing else. */
#ifndef KG_COMMON_RANDOM_H
#define KG_COMMON_RANDOM_H

#include <stdint.h>

/* 32-bit finaliser (the xorshift-multiply construction with the constants of the "lowbias32" search,
 * C. Wellons, "Prospecting for Hash Functions", 2018). */
static inline uint32_t kg_hash_u32(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  x ^= x >> 16;
  return x;
}

/* Start of the sequence of one tensor at one training step. */
static inline uint32_t kg_random_start(uint32_t seed, uint32_t step, uint32_t tensor) {
  return kg_hash_u32(kg_hash_u32(kg_hash_u32(seed ^ 0x6B67u) + step) ^ tensor);
}

/* 16 random bits for element `index`. */
static inline uint32_t kg_random_at(uint32_t start, uint32_t index) {
  uint32_t u = start + index * 0x9E3779B9u;
  u ^= u >> 16;
  u *= 0x85EBCA6Bu;
  return u >> 16;
}

#endif
