"""The end of a single-shot detector (TensorFlow Lite's custom operator TFLite_Detection_PostProcess, without classes of their own).

Operands: boxes int8 [1, n, 4 or more] (y, x, height, width relative to an anchor), scores int8 [1, n, classes], anchors int8 [n, 4].
Results, float32: boxes [1, most, 4] (lowest y and x, highest y and x), classes [1, most], scores [1, most], their number [1]; what lies
behind that number is 0. Attributes: max_detections (most), num_classes (one less than the scores have where class 0 is the background),
score_threshold, iou_threshold, scales (of y, x, height, width).

From the best score down, a box is kept unless it overlaps one kept before by more than iou_threshold. Scores are ordered as integers, and
exp of a box's size is a table, so nothing on a device needs libm. TensorFlow Lite decodes in double precision, this in single: coordinates
differ by at most a few units in the last place (1e-6 of the anchor's coordinates are tested), and so may, then, the choice between boxes
whose overlap is within as little of the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import support
from kilograd.ops.base import Blob, KernelCall, Operand, Operator, Reference, RunState, Scratch, TensorType, register
from kilograd.ops.quantize import float_bits

ONE, ZERO = np.float32(1), np.float32(0)


def overlap(a: Array, others: Array) -> Array:
    """Intersection over union of box a with each of `others`, 0 where one has no area."""
    size = (others[:, 2:] - others[:, :2]).prod(axis=1)
    mine = (a[2] - a[0]) * (a[3] - a[1])
    sides = np.maximum(np.minimum(a[2:], others[:, 2:]) - np.maximum(a[:2], others[:, :2]), ZERO)
    both = sides[:, 0] * sides[:, 1]
    whole = size + mine - both
    return np.where((size > 0) & (mine > 0), both / np.where(whole > 0, whole, ONE), ZERO)


def selected(boxes: Array, scores: Array, order: Array, attrs: dict[str, float]) -> list[int]:
    """Boxes that are kept, best first; `order` are those above the threshold by falling score."""
    kept: list[int] = []
    limit = np.float32(attrs["iou_threshold"])
    for i in order:
        if len(kept) == attrs["max_detections"]:
            break
        if not (overlap(boxes[i], boxes[kept]) > limit).any():
            kept.append(int(i))
    return kept


@register
class DetectionPostprocess(Operator):
    """Boxes, classes, scores and number of what was detected."""

    name = "detection_postprocess"
    tflite = ("CUSTOM:TFLite_Detection_PostProcess",)
    no_gradient = "it chooses among boxes"
    whole_input = "it chooses among all boxes"
    kernels = ("detection_postprocess_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        support.need_activations(graph, node, *node.inputs)
        boxes, scores, anchors = (graph[t].shape for t in node.inputs)
        most, classes = int(node.attrs["max_detections"]), int(node.attrs["num_classes"])
        n = boxes[1] if len(boxes) == 3 else 0
        if boxes[:1] != (1,) or n < 1 or boxes[2] < 4 or scores[:2] != (1, n) or len(scores) != 3 or anchors != (n, 4):
            raise GraphError(f"{node.op} '{node.name}': boxes {list(boxes)}, scores {list(scores)} and anchors {list(anchors)} do not fit")
        if not 0 <= scores[2] - classes <= 1 or classes < 1 or not 1 <= most <= 1 << 16:
            raise GraphError(f"{node.op} '{node.name}': {classes} classes of {scores[2]} scores, at most {most} detections: out of range")
        if not 0 < node.attrs["iou_threshold"] <= 1 or any(not 1e-6 < abs(s) < 1e6 for s in node.attrs["scales"]):
            raise GraphError(f"{node.op} '{node.name}': iou_threshold must lie in 0 to 1, scales {node.attrs['scales']} must not be 0")
        return [TensorType(s, DType.FLOAT32) for s in ((1, most, 4), (1, most), (1, most), (1,))]

    def _results(self, node: Node, boxes: Array, scores: Array, kept: list[int], best: Array) -> list[Array]:
        most, n = int(node.attrs["max_detections"]), len(kept)
        found = [np.zeros((1, most, 4), boxes.dtype), *(np.zeros((1, most), boxes.dtype) for _ in range(2)), np.full(1, n, boxes.dtype)]
        found[0][0, :n], found[1][0, :n], found[2][0, :n] = boxes[kept], best[kept], scores[kept, best[kept]]
        return found

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        boxes, scores, anchors = (np.asarray(v) for v in inputs)
        shift, half = boxes[0, :, :2] / node.attrs["scales"][:2], 0.5 * np.exp(boxes[0, :, 2:4] / node.attrs["scales"][2:])
        centre, half = shift * anchors[:, 2:] + anchors[:, :2], half * anchors[:, 2:]
        corners = np.concatenate([centre - half, centre + half], axis=1).astype(boxes.dtype)
        mine = scores[0, :, scores.shape[2] - int(node.attrs["num_classes"]) :]
        top = mine.max(axis=1)
        order = np.argsort(-top, kind="stable")
        kept = selected(corners, top, order[top[order] >= node.attrs["score_threshold"]], node.attrs)
        return self._results(node, corners, mine, kept, mine.argmax(axis=1))

    def _decode(self, graph: Graph, node: Node) -> Array:
        """float32 [4][256]: shifts of the centre and half sizes in anchors, for each stored coordinate of a box."""
        q = graph[node.inputs[0]].q
        real = ((np.arange(-128, 128) - q.z).astype(np.float32) * np.float32(q.s)).astype(np.float64)
        scales = [float(np.float32(s)) for s in node.attrs["scales"]]
        sizes = [[0.5 * math.exp(min(v / s, 80.0)) for v in real] for s in scales[2:]]  # a larger one is no box
        return np.array([real / scales[0], real / scales[1], *sizes]).astype(np.float32)

    def _lowest(self, graph: Graph, node: Node) -> int:
        """Stored score from which on a box counts, 128 where none does."""
        q = graph[node.inputs[1]].q
        real = (np.arange(-128, 128) - q.z).astype(np.float32) * np.float32(q.s)
        return int(np.searchsorted(real, np.float32(node.attrs["score_threshold"]))) - 128

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        boxes, scores, anchors = (np.asarray(v) for v in inputs)
        table, q = self._decode(graph, node), graph[node.inputs[2]].q
        a = (anchors.astype(np.int32) - q.z).astype(np.float32) * np.float32(q.s)
        column = [table[i][boxes[0, :, i].astype(np.int32) + 128] for i in range(4)]
        centre = [column[i] * a[:, 2 + i] + a[:, i] for i in range(2)]
        half = [column[2 + i] * a[:, 2 + i] for i in range(2)]
        corners = np.stack([centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]], axis=1)
        mine = scores[0, :, scores.shape[2] - int(node.attrs["num_classes"]) :].astype(np.int32)
        top, best = mine.max(axis=1), mine.argmax(axis=1)
        order = np.argsort(-top, kind="stable")
        kept = selected(corners, top, order[top[order] >= self._lowest(graph, node)], node.attrs)
        q = graph[node.inputs[1]].q
        return self._results(node, corners, (mine - q.z).astype(np.float32) * np.float32(q.s), kept, best)

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return graph[node.inputs[0]].shape[1]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        boxes, scores, anchors = (graph[t] for t in node.inputs)
        names = ("found_boxes", "found_classes", "found_scores", "found")
        return KernelCall(
            "detection_postprocess_ref_s8",
            {
                "boxes": Operand(boxes.name),
                "scores": Operand(scores.name),
                "anchors": Operand(anchors.name),
                "decode": Blob(self._decode(graph, node)),
                **{n: Operand(t) for n, t in zip(names, node.outputs, strict=True)},
                "best": Scratch(),
                "count": boxes.shape[1],
                "box_width": boxes.shape[2],
                "classes": scores.shape[2],
                "first_class": scores.shape[2] - int(node.attrs["num_classes"]),
                "most": int(node.attrs["max_detections"]),
                "lowest": self._lowest(graph, node),
                "score_zero": scores.q.z,
                "anchor_zero": anchors.q.z,
                "score_scale": float_bits(scores.q.s),
                "anchor_scale": float_bits(anchors.q.s),
                "overlap": float_bits(node.attrs["iou_threshold"]),
            },
        )
