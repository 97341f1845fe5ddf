/* Headers of all operators. */
#ifndef KG_KERNELS_H
#define KG_KERNELS_H

#include "ops/conv2d/conv2d.h"

#endif
