"""The custom operator at the end of single-shot detectors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer

LONGEST_OPTIONS = 4096


def _options(op: RawOperator) -> dict[str, Any]:
    """The options that are read, from a flexbuffer."""
    from flatbuffers import flexbuffers

    if not op.options or len(op.options) > LONGEST_OPTIONS:
        raise ModelError(f"{op.where} has options of {len(op.options or b'')} bytes. The file is damaged: export it again.")
    found = flexbuffers.GetRoot(op.options).AsMap
    numbers = ("max_detections", "max_classes_per_detection", "num_classes", "use_regular_nms")
    reals = ("nms_score_threshold", "nms_iou_threshold", "y_scale", "x_scale", "h_scale", "w_scale")
    known = {found.Keys[i].AsKey for i in range(len(found.Keys))}
    missing = [k for k in (*numbers[:3], *reals) if k not in known]
    if missing:
        raise ModelError(f"{op.where} lacks the options {', '.join(missing)}. The file is damaged: export it again.")
    values: dict[str, Any] = {k: int(found[k].AsInt) for k in numbers if k in known and k != "use_regular_nms"}
    values["use_regular_nms"] = bool(found["use_regular_nms"].AsBool) if "use_regular_nms" in known else False
    return values | {k: float(found[k].AsFloat) for k in reals}


def detection_postprocess(importer: Importer, op: RawOperator) -> Converted:
    """TFLite_Detection_PostProcess in its fast form, one class a box."""
    o = _options(op)
    names = ", ".join(f"'{importer.names[i]}'" for i in op.inputs[:2] if i >= 0)
    cut = f"Cut the model in front of it: its operands {names} hold boxes and scores."
    if o["use_regular_nms"] or min(o["max_classes_per_detection"], o["num_classes"]) != 1:
        raise UnsupportedOperator(f"{op.where} suppresses boxes class by class or gives several classes a box; kilograd does not. {cut}")
    if any(importer.raw.tensors[i].type not in ("INT8", "UINT8", "FLOAT32") for i in op.inputs):
        raise UnsupportedOperator(f"{op.where} has operands of other types than int8 and float32. {cut}")
    most = o["max_detections"]
    for i, shape in zip(op.outputs, ((1, most, 4), (1, most), (1, most), (1,)), strict=True):
        if importer.raw.tensors[i].shape not in ((), shape):
            raise ModelError(f"{op.where} declares a result of shape {list(importer.raw.tensors[i].shape)}, not {list(shape)}.")
        importer.raw.tensors[i] = replace(importer.raw.tensors[i], shape=shape)
    attrs = {"max_detections": most, "num_classes": o["num_classes"], "score_threshold": o["nms_score_threshold"]}
    scales = [o["y_scale"], o["x_scale"], o["h_scale"], o["w_scale"]]
    return Converted([importer.activation(op, i) for i in range(3)], attrs | {"iou_threshold": o["nms_iou_threshold"], "scales": scales})


RULES: dict[str, Rule] = {"CUSTOM:TFLite_Detection_PostProcess": Rule((3, 3), "", detection_postprocess, results=(4, 4))}
