"""Operators that give images another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.errors import ModelError
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


def _size(importer: Importer, op: RawOperator) -> dict[str, Any]:
    importer.shape(op, 0, rank=4)
    size = importer.integers(op, 1)
    if len(size) != 2 or min(size) < 1:
        raise ModelError(f"{op.where} asks for the size {size[:8]}; height and width are needed. The file is damaged: export it again.")
    flags = {"align_corners": bool(op.options.AlignCorners()), "half_pixel_centers": bool(op.options.HalfPixelCenters())}
    return {"height": size[0], "width": size[1], **flags}


def nearest(importer: Importer, op: RawOperator) -> Converted:
    """RESIZE_NEAREST_NEIGHBOR."""
    return Converted([importer.activation(op, 0)], _size(importer, op))


def bilinear(importer: Importer, op: RawOperator) -> Converted:
    """RESIZE_BILINEAR; its uint8 form computes in float32."""
    unsigned = {"unsigned": True} if importer.unsigned(op, 0) else {}
    return Converted([importer.activation(op, 0)], _size(importer, op) | unsigned)


RULES: dict[str, Rule] = {
    "RESIZE_NEAREST_NEIGHBOR": Rule((2, 2), "ResizeNearestNeighborOptions", nearest),
    "RESIZE_BILINEAR": Rule((2, 2), "ResizeBilinearOptions", bilinear),
}
