#include "error_fours.h"

#include "../error_tensor.h"
#include "simd.h"

#if !KG_DSP

int32_t kg_error_fours(const int32_t *acc, int8_t *to, uint32_t random, const kg_error_fours_form *form) {
  int32_t found = 0;
  for (int32_t i = 0; i < 4 * form->fours; ++i) {
    const uint32_t magnitude = acc[i] < 0 ? 0u - (uint32_t)acc[i] : (uint32_t)acc[i];
    if (magnitude > (uint32_t)(INT32_MAX - form->limit)) found = 1;
    to[i] = kg_error_round(acc[i], form->shift, kg_random_at(random, (uint32_t)i));
  }
  return found;
}

#endif
