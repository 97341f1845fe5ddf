/* The stored numbers in another element type, without regard to what they stand for. */
#ifndef KG_OPS_CAST_H
#define KG_OPS_CAST_H

#include "../../common/check.h"

enum { KG_CAST_S8 = 0, KG_CAST_U8 = 1, KG_CAST_S16 = 2, KG_CAST_S32 = 3, KG_CAST_F32 = 4 };

/* y = (type of y) x. Integers wrap; float32 is cut towards zero and saturates, NaN gives 0. KG_CAST_U8: uint8 numbers, stored less 128. */
typedef struct kg_cast_args {
  kg_ref x; /* [count] */
  kg_ref y; /* [count] */
  int32_t from, to;
  int32_t count;
} kg_cast_args;

void kg_cast_ref(const kg_cast_args *args, const kg_memory *mem);
int32_t kg_cast_check(const kg_cast_args *args, kg_check *c);

#endif
