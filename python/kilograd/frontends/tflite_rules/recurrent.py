"""Layers with a memory of their own: SVDF, LSTM over a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule, activation

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer

MAX_RANK = 1 << 10


def svdf(importer: Importer, op: RawOperator) -> Converted:
    """SVDF: x, feature weights, time weights, bias, state. LiteRT's integer kernel knows ReLU by a result that has zero at its lowest."""
    rank, chosen = int(op.options.Rank()), activation(op)
    if not 1 <= rank <= MAX_RANK:
        raise ModelError(f"{op.where} has rank {rank}; it must lie in 1 to {MAX_RANK}. The file is damaged: export it again.")
    x, feature = importer.activation(op, 0), importer.weights(op, 1, 0, rank=2)
    time = importer.constant(op, 2, 2, "INT16", "INT8", "FLOAT32")
    bias = importer.bias(op, 3, channels=importer.shape(op, 1)[0] // rank)
    state = importer.state(op, 4, "INT16", "INT8", "FLOAT32")
    y = importer.raw.tensors[op.outputs[0]]
    if y.type != "FLOAT32" and chosen != "none" and not (chosen == "relu" and y.zero_point.size == 1 and y.zero_point[0] == -128):
        raise UnsupportedOperator(
            f"{op.where} has the activation {chosen} and a result whose zero point is not -128; TensorFlow Lite's integer kernel does not "
            "apply it. Quantize the model again with a full-integer converter."
        )
    return Converted([x, feature, bias, "", time, state], {"rank": rank, "activation": chosen}, mutates=(state,))


RULES: dict[str, Rule] = {
    "SVDF": Rule((5, 5), "SVDFOptions", svdf),
}
