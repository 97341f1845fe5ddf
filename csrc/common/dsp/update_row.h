/* Rows of learned weights: kg_update_put for many weights of one output channel. */
#ifndef KG_COMMON_DSP_UPDATE_ROW_H
#define KG_COMMON_DSP_UPDATE_ROW_H

#include "../update.h"

/* kg_update_put(w, index + i, step of gradient[i] - minus) for all i < count. */
void kg_update_put_row(const kg_updater *w, int32_t index, const int32_t *gradient, int32_t count, int32_t minus, kg_rate rate);

#endif
