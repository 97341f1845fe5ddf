/* Headers of all operators. */
#ifndef KG_KERNELS_H
#define KG_KERNELS_H

#include "ops/add/add.h"
#include "ops/average_pool2d/average_pool2d.h"
#include "ops/bias/bias.h"
#include "ops/cast/cast.h"
#include "ops/clamp_grad/clamp_grad.h"
#include "ops/conv2d/conv2d.h"
#include "ops/depthwise_conv2d/depthwise_conv2d.h"
#include "ops/dequantize/dequantize.h"
#include "ops/fully_connected/fully_connected.h"
#include "ops/gather/gather.h"
#include "ops/grad_sum/grad_sum.h"
#include "ops/log_softmax/log_softmax.h"
#include "ops/logistic/logistic.h"
#include "ops/lut/lut.h"
#include "ops/max_pool2d/max_pool2d.h"
#include "ops/mean/mean.h"
#include "ops/mean_squared_error/mean_squared_error.h"
#include "ops/mul/mul.h"
#include "ops/prelu/prelu.h"
#include "ops/quantize/quantize.h"
#include "ops/rescale/rescale.h"
#include "ops/resize/resize.h"
#include "ops/sgd_apply/sgd_apply.h"
#include "ops/softmax/softmax.h"
#include "ops/softmax_cross_entropy/softmax_cross_entropy.h"
#include "ops/strided_copy/strided_copy.h"
#include "ops/svdf/svdf.h"
#include "ops/train_begin/train_begin.h"

#endif
