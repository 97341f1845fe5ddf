"""clamp_grad for cores with the DSP extension."""

from __future__ import annotations

from kilograd.ops.dsp_same import SameArguments
from kilograd.ops.variant import register_variant


@register_variant
class ClampGradDsp(SameArguments):
    """Eight elements and their bits at a time (csrc/ops/clamp_grad/clamp_grad_dsp.c)."""

    op = "clamp_grad"
    kernels = ("clamp_grad_dsp_s8",)
