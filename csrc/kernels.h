/* Headers of all operators. */
#ifndef KG_KERNELS_H
#define KG_KERNELS_H

#include "ops/add/add.h"
#include "ops/bias/bias.h"
#include "ops/conv2d/conv2d.h"
#include "ops/depthwise_conv2d/depthwise_conv2d.h"
#include "ops/fully_connected/fully_connected.h"
#include "ops/mean_squared_error/mean_squared_error.h"
#include "ops/mul/mul.h"
#include "ops/sgd_apply/sgd_apply.h"
#include "ops/softmax_cross_entropy/softmax_cross_entropy.h"
#include "ops/train_begin/train_begin.h"

#endif
