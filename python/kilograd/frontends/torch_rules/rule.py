"""One function an operator of aten: a call becomes records in the words of ONNX, which the importer of ONNX models turns into a graph.

PyTorch and ONNX count axes alike, so that layouts (NCHW to NHWC), fused activations, and quantized values between pairs of quantize and
dequantize are handled in one place for both. Images, too: what is a rule here is only what the two call by different names.

A handler gets the translator and the call, and returns the result: the name of a value, or a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.ir.graph import Shape


@dataclass(frozen=True)
class Call:
    """One call of an exported program. Arguments that the model computes are names of values, constants are torch tensors."""

    op: str  # aten.conv2d.default
    name: str  # of its result
    layer: str  # path of the module that makes it, as in named_modules()
    args: Sequence[Any]
    options: dict[str, Any]
    shapes: Sequence[Shape]  # of the results

    def arg(self, i: int, name: str, default: Any = None) -> Any:
        """An argument by place or name."""
        value = self.args[i] if i < len(self.args) else self.options.get(name, default)
        return default if value is None else value

    @property
    def shape(self) -> Shape:
        """Shape of the (first) result."""
        return self.shapes[0]

    @property
    def where(self) -> str:
        """For messages: aten.conv2d.default of 'features.0'."""
        return f"{self.op} of '{self.layer or self.name}'"

    def refuse(self, what: str) -> UnsupportedOperator:
        """The error that says what kilograd cannot do here."""
        return UnsupportedOperator(f"{self.where} {what}")


#: (translator, call) to the result
Handler = Callable[[Any, Call], Any]


def pair(call: Call, value: Any, count: int, what: str) -> list[int]:
    """Sizes along spatial axes, where one number stands for all."""
    values = [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)]
    values = values * count if len(values) == 1 else values
    if len(values) != count:
        raise ModelError(f"{call.where} has {what} {values}; {count} numbers are needed.")
    return values


def one_sample(call: Call, shape: Shape) -> None:
    """Images come one by one."""
    if shape[0] != 1:
        raise ModelError(
            f"{call.where} sees a batch of {shape[0]}: kilograd runs one sample at a time. Give an example of one sample, example[:1]."
        )
