/* Where things lie in the scratch of convolutions that learn; the kernels and their checks share it. */
#ifndef KG_OPS_CONV2D_LEARN_H
#define KG_OPS_CONV2D_LEARN_H

#include "../../common/dsp/sums.h"
#include "conv2d.h"

/* Some window reaches beyond the image. */
static inline int32_t kg_conv2d_learn_pads(const kg_conv2d_shape *s) {
  const int32_t bottom = (s->out_h - 1) * s->stride_h - s->pad_top + (s->k_h - 1) * s->dilation_h;
  const int32_t right = (s->out_w - 1) * s->stride_w - s->pad_left + (s->k_w - 1) * s->dilation_w;
  return s->pad_top > 0 || s->pad_left > 0 || bottom >= s->in_h || right >= s->in_w;
}

/* Bytes: sums of a block come first. */
static inline int32_t kg_conv2d_learn_buffer(const kg_conv2d_learn_args *a) { return 4 * KG_SUMS_PIXELS * a->block; }

static inline int32_t kg_conv2d_learn_words(const kg_conv2d_learn_args *a) {
  return kg_conv2d_learn_buffer(a) + 4 * KG_SUMS_BLOCK * (a->pairs + KG_SUMS_SPARE);
}

/* Learned weights of four channels, or of a block: a word for each pair of inputs and two channels. */
static inline int64_t kg_conv2d_learn_padding(const kg_conv2d_learn_args *a) {
  const int32_t live = a->shape.k_h * a->shape.k_w * a->shape.live_c, inputs = live < 2 * a->pairs ? live : 2 * a->pairs;
  return kg_conv2d_learn_words(a) + (int64_t)inputs * (a->held ? a->block : 4);
}

static inline int64_t kg_conv2d_learn_scratch(const kg_conv2d_learn_args *a) {
  return kg_conv2d_learn_padding(a) + (kg_conv2d_learn_pads(&a->shape) ? a->shape.in_c : 0);
}

/* The same for the errors of inputs. Some input pixel lacks a window through some tap: */
static inline int32_t kg_conv2d_grad_pads(const kg_conv2d_shape *s) {
  return s->k_h * s->k_w > 1 || s->stride_h > 1 || s->stride_w > 1 || s->pad_top > 0 || s->pad_left > 0 || s->in_h != s->out_h ||
         s->in_w != s->out_w;
}

static inline int32_t kg_conv2d_grad_buffer(const kg_conv2d_grad_input_dsp_args *a) { return 4 * KG_SUMS_PIXELS * a->block; }

static inline int32_t kg_conv2d_grad_words(const kg_conv2d_grad_input_dsp_args *a) {
  return kg_conv2d_grad_buffer(a) + 4 * KG_SUMS_BLOCK * (a->pairs + KG_SUMS_SPARE);
}

static inline int32_t kg_conv2d_grad_nothing(const kg_conv2d_grad_input_dsp_args *a) {
  const int32_t errors = a->shape.k_h * a->shape.k_w * a->shape.out_c, held = errors < 2 * a->pairs ? errors : 2 * a->pairs;
  return kg_conv2d_grad_words(a) + (a->shape.live_c > 0 ? 4 * held : 0);
}

static inline int32_t kg_conv2d_grad_scratch(const kg_conv2d_grad_input_dsp_args *a) {
  return kg_conv2d_grad_nothing(a) + (kg_conv2d_grad_pads(&a->shape) ? a->shape.out_c : 0);
}

/* Pairs of output pixels over which gradients of weights sum. */
static inline int32_t kg_conv2d_grad_weights_pairs(const kg_conv2d_shape *s) { return (s->out_h * s->out_w + 1) / 2; }

static inline int32_t kg_conv2d_grad_weights_buffer(const kg_conv2d_grad_weights_dsp_args *a) {
  return 4 * KG_SUMS_PIXELS * a->block;
}

static inline int32_t kg_conv2d_grad_weights_words(const kg_conv2d_grad_weights_dsp_args *a) {
  return kg_conv2d_grad_weights_buffer(a) + 4 * KG_SUMS_BLOCK * (a->pairs + KG_SUMS_SPARE);
}

static inline int64_t kg_conv2d_grad_weights_scratch(const kg_conv2d_grad_weights_dsp_args *a) {
  return kg_conv2d_grad_weights_words(a) + 2 * (int64_t)kg_conv2d_grad_weights_pairs(&a->shape) * a->block;
}

#endif
