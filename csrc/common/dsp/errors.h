/* Rows of an error tensor that is written: kg_error_put for many elements at once. */
#ifndef KG_COMMON_DSP_ERRORS_H
#define KG_COMMON_DSP_ERRORS_H

#include "../error_tensor.h"

/* kg_error_put(w, index + i, acc[i]) for all i < count. */
void kg_error_put_row(kg_error_writer *w, int32_t index, const int32_t *acc, int32_t count);

#endif
