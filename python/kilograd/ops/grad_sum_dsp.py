"""grad_sum for cores with the DSP extension."""

from __future__ import annotations

from kilograd.ops.dsp_same import SameArguments
from kilograd.ops.variant import register_variant


@register_variant
class GradSumDsp(SameArguments):
    """Sums rounded in rows (csrc/ops/grad_sum/grad_sum_dsp.c)."""

    op = "grad_sum"
    kernels = ("grad_sum_dsp_s8",)
