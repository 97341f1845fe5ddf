#include "depthwise_conv2d_dsp_pass.h"

void kg_depthwise_conv2d_dsp_s8(const kg_depthwise_conv2d_dsp_args *a, const kg_memory *mem) {
  kg_depthwise_pass p;
  kg_depthwise_pass_begin(&p, a, mem);
  const int32_t taps = kg_depthwise_dsp_taps(&p.shape), stride = p.shape.stride_w;
  while (kg_depthwise_pass_next(&p)) kg_depthwise_s8(p.map.planes, p.stream, p.y, &p.block, taps, stride);
}
