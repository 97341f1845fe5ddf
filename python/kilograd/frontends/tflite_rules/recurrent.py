"""Layers with a memory of their own: SVDF, LSTM over a sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

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


TANH = 4
GATES = (1, 2, 3, 4)  # weights of the gates input, forget, cell, output; recurrent weights and biases lie in the same order
RECURRENT, BIAS, HIDDEN, CELL = (5, 6, 7, 8), (12, 13, 14, 15), 18, 19
REFUSED = {9: "peephole weights", 16: "a projection", 20: "layer normalization"}


def lstm(importer: Importer, op: RawOperator) -> Converted:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: the gates' weights are stacked to one tensor each of input and recurrent weights."""
    o, given = op.options, (*op.inputs, *(-1,) * (24 - len(op.inputs)))
    groups = {9: (9, 10, 11), 16: (16, 17), 20: (20, 21, 22, 23)}
    for first, what in REFUSED.items():
        if any(given[i] >= 0 for i in groups[first]):
            raise UnsupportedOperator(f"{op.where} has {what}; kilograd runs LSTM layers without. Train the layer without them.")
    if given[GATES[0]] < 0:
        raise UnsupportedOperator(f"{op.where} couples its input and forget gates; kilograd runs LSTM layers with four gates.")
    if int(o.FusedActivationFunction()) != TANH:
        raise UnsupportedOperator(f"{op.where} has the activation {int(o.FusedActivationFunction())}; kilograd runs LSTM layers with tanh.")
    if bool(o.DiagonalRecurrentTensors()):
        raise UnsupportedOperator(f"{op.where} has diagonal recurrent weights; kilograd runs full matrices. Export without them.")
    clip = float(o.CellClip())
    if not (math.isfinite(clip) and clip >= 0):
        raise ModelError(f"{op.where} has the cell clip {clip}. The file is damaged: export it again.")
    x = importer.activation(op, 0)
    w, r = (importer.stacked(op, part, 2, "INT8", "FLOAT32") for part in (GATES, RECURRENT))
    bias = importer.stacked(op, BIAS, 1, "INT32", "FLOAT32")
    hidden, cell = importer.state(op, HIDDEN, "INT8", "FLOAT32"), importer.state(op, CELL, "INT16", "FLOAT32")
    _check_hidden(importer, op)
    attrs = {"time_major": bool(o.TimeMajor()), "cell_clip": clip}
    return Converted([x, w, bias, "", r, hidden, cell], attrs, mutates=(hidden, cell))


def _check_hidden(importer: Importer, op: RawOperator) -> None:
    """TensorFlow Lite reads the quantization of the hidden state from the last intermediate tensor; here it must be the result's."""
    y = importer.raw.tensors[op.outputs[0]]
    if y.type == "FLOAT32":
        return
    if len(op.intermediates) != 5:
        raise ModelError(f"{op.where} has {len(op.intermediates)} intermediate tensors, 5 are needed. Export the model again.")
    t = importer.raw.tensors[op.intermediates[4]]
    if not (np.array_equal(t.scale, y.scale) and np.array_equal(t.zero_point, y.zero_point)):
        raise UnsupportedOperator(f"{op.where}: its hidden state and its result differ in quantization; kilograd runs them with the same.")


RULES: dict[str, Rule] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Rule((20, 24), "UnidirectionalSequenceLSTMOptions", lstm),
    "SVDF": Rule((5, 5), "SVDFOptions", svdf),
}
