#include "depthwise_conv2d_dsp_pass.h"

void kg_depthwise_conv2d_dsp3x3_s8(const kg_depthwise_conv2d_dsp_args *a, const kg_memory *mem) {
  kg_depthwise_pass p;
  kg_depthwise_pass_begin(&p, a, mem);
  while (kg_depthwise_pass_next(&p)) {
    if (p.shape.stride_w == 1)
      kg_depthwise3x3_s8(p.map.planes, p.stream, p.y, &p.block);
    else
      kg_depthwise3x3_step2_s8(p.map.planes, p.stream, p.y, &p.block);
  }
}
