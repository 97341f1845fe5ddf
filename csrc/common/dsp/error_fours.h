/* Stochastic rounding of elements of an error tensor in fours, for shifts within int32. */
#ifndef KG_COMMON_DSP_ERROR_FOURS_H
#define KG_COMMON_DSP_ERROR_FOURS_H

#include <stdint.h>

enum { KG_ERROR_FOURS_LEAST_SHIFT = 1, KG_ERROR_FOURS_LARGEST_SHIFT = 22 };

typedef struct kg_error_fours_form {
  int32_t fours;
  int32_t scale; /* 2^(shift + 1) */
  int32_t shift;
  int32_t limit; /* INT32_MAX minus the magnitude that is looked for */
} kg_error_fours_form;

/* to[i] = kg_error_round(acc[i], shift, ..) for four times `fours` elements; `random` is what kg_random_at starts from for the first one.
 * Gives 1 where the magnitude of an element is above INT32_MAX - limit (and, now and then, where it is not). */
int32_t kg_error_fours(const int32_t *acc, int8_t *to, uint32_t random, const kg_error_fours_form *form);

#endif
