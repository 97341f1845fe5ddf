"""Data files: `.npz` with x_train, y_train, x_test, y_test (or x, y, is_test), brought into the form of a model's input.

What an array may be:

- uint8: images or other bytes. Images of another size are resized (antialiased); a byte p becomes the int8 p - 128, which maps the whole
  range of a byte to the whole range of the input, unless the input's quantization says otherwise (see `byte_rule`);
- int8: already quantized, taken as it is;
- float: real values, quantized as the input says. Never resized.

Whatever was done is told in `Dataset.description`.
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kilograd.errors import DataError
from kilograd.ir.graph import Array, DType, Graph, QuantParams, Shape


@dataclass(frozen=True)
class InputSpec:
    """What a model reads: shape with the batch of 1 first, element type, and the quantization of its integers.

    A float32 input carries the quantization of the integers that it is turned into, when that is known. `unsigned`: the model file reads
    uint8, which kilograd shifts to int8.
    """

    shape: Shape
    dtype: DType
    quant: QuantParams | None
    unsigned: bool = False


@dataclass(frozen=True)
class Dataset:
    """Samples in the model's form, [n, *shape[1:]]; labels int32 [n] (empty arrays where the file has none)."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    description: str

    @property
    def classes(self) -> int:
        """One more than the largest label."""
        return int(max(self.y_train.max(initial=-1), self.y_test.max(initial=-1))) + 1


def input_spec(graph: Graph) -> InputSpec:
    """Input of a graph that has exactly one."""
    if len(graph.inputs) != 1:
        raise DataError(f"model '{graph.name}' has {len(graph.inputs)} inputs; data files can feed models with one input")
    tensor = graph[graph.inputs[0]]
    quant = tensor.quant
    if tensor.dtype is DType.FLOAT32:
        for node in graph.consumers(tensor.name):
            if node.op == "quantize":
                quant = graph[node.outputs[0]].quant
    return InputSpec(tensor.shape, tensor.dtype, quant, tensor.name in graph.meta.get("uint8", ()))


def read_npz(path: str | os.PathLike[str]) -> dict[str, Array]:
    """All arrays of a .npz file; objects (pickles) are refused."""
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no data file '{file}'")
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise DataError(f"'{file}' is a single array; data files are .npz with x_train, y_train, x_test, y_test (or x, y, is_test)")
        with content:
            return {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"'{file}' is not a readable .npz file of plain arrays ({error})") from error


def _split(arrays: dict[str, Array], file: str) -> tuple[Array, Array | None, Array, Array | None]:
    if {"x_train", "x_test"} <= arrays.keys():
        return arrays["x_train"], arrays.get("y_train"), arrays["x_test"], arrays.get("y_test")
    if {"x", "is_test"} <= arrays.keys():
        x, y, test = arrays["x"], arrays.get("y"), arrays["is_test"]
        if test.shape != x.shape[:1] or (y is not None and y.shape[:1] != x.shape[:1]):
            raise DataError(f"'{file}': x {x.shape}, y {None if y is None else y.shape} and is_test {test.shape} are of different lengths")
        test = test.astype(bool)
        return x[~test], None if y is None else y[~test], x[test], None if y is None else y[test]
    raise DataError(f"'{file}' holds {sorted(arrays)}; wanted are x_train, y_train, x_test, y_test, or x, y, is_test")


def load_dataset(path: str | os.PathLike[str], spec: InputSpec, classes: int | None = None, labels: bool = True) -> Dataset:
    """Read, check and convert a data file. `classes` bounds the labels; `labels` False: no labels are needed (autoencoders)."""
    file = str(path)
    x_train, y_train, x_test, y_test = _split(read_npz(path), file)
    parts, notes = [], []
    for name, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if x.shape[:1] == (0,) or x.ndim == 0:
            raise DataError(f"'{file}': the {name} set is empty")
        converted, note = convert(x, spec, f"'{file}', x of the {name} set")
        wanted = check_labels(y, len(converted), classes, f"'{file}', y of the {name} set") if labels else np.zeros(0, np.int32)
        parts += [converted, wanted]
        notes.append(note)
    text = f"{len(parts[0])} samples to train, {len(parts[2])} to test: {notes[0]}"
    if notes[1] != notes[0]:
        text += f" (test set: {notes[1]})"
    return Dataset(parts[0], parts[1], parts[2], parts[3], text)


def check_labels(y: Array | None, samples: int, classes: int | None, where: str) -> Array:
    """Labels as int32 [samples], each in 0..classes-1."""
    if y is None:
        raise DataError(f"{where} is missing")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (samples,):
        raise DataError(f"{where} has shape {list(y.shape)}, wanted is one label a sample: [{samples}]")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{where} has type {y.dtype}; labels are integers from 0")
    low, high = int(y.min()), int(y.max())
    if low < 0 or (classes is not None and high >= classes):
        limit = " and up" if classes is None else f"..{classes - 1}"
        way = "count classes from 0" if low < 0 else f"give --classes {high + 1} for a head of that size"
        raise DataError(f"{where} has labels {low}..{high}; the model takes 0{limit} ({way})")
    return y.astype(np.int32)


def convert(x: Array, spec: InputSpec, where: str) -> tuple[Array, str]:
    """Samples [n, ...] in the model's form, and what was done."""
    if x.ndim == 0 or len(x) == 0:
        raise DataError(f"{where} holds no samples (shape {list(x.shape)})")
    if x.dtype == np.uint8:
        x, fitted = fit_images(x, spec.shape, where)
        values, mapped = map_bytes(x, spec)
        return values, f"{fitted}, {mapped}"
    x = _reshape(x, spec.shape, where)
    if x.dtype == np.int8:
        if spec.dtype is DType.FLOAT32:
            raise DataError(f"{where} is int8, but the model reads float32: give real values")
        return x, "int8 values taken as they are"
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"{where} has type {x.dtype}; wanted is uint8 (images), int8 (already quantized) or float (real values)")
    if not np.isfinite(x).all():
        raise DataError(f"{where} holds {int((~np.isfinite(x)).sum())} values that are NaN or infinite: clean the data first")
    if spec.dtype is DType.FLOAT32:
        return x.astype(np.float32), "real values taken as they are"
    return quantize(x, _quant(spec)), f"real values quantized with {_text(_quant(spec))}"


def quantize(real: Array, quant: QuantParams) -> Array:
    """Real values to int8, rounded half away from zero and saturated."""
    q = np.asarray(real, np.float64) / quant.s
    rounded: Array = np.clip(np.floor(np.abs(q) + 0.5) * np.sign(q) + quant.z, -128, 127).astype(np.int8)
    return rounded


def _quant(spec: InputSpec) -> QuantParams:
    if spec.quant is None:
        raise DataError("the model's input has no quantization parameters: give int8 or uint8 data")
    return spec.quant


def _text(quant: QuantParams) -> str:
    return f"scale {quant.s:.6g} and zero point {quant.z}"


def _same_elements(given: Shape, wanted: Shape) -> bool:
    """True when one shape is the other with axes of length 1 left out, or one of them is flat: the order of elements is the same."""
    a, b = tuple(d for d in given if d != 1), tuple(d for d in wanted if d != 1)
    return a == b or (math.prod(a) == math.prod(b) and min(len(a), len(b)) <= 1)


def _reshape(x: Array, shape: Shape, where: str) -> Array:
    if not _same_elements(x.shape[1:], shape[1:]):
        raise DataError(f"{where} has samples of shape {list(x.shape[1:])}, the model reads {list(shape[1:])}")
    return x.reshape(len(x), *shape[1:])


def fit_images(x: Array, shape: Shape, where: str) -> tuple[Array, str]:
    """uint8 samples brought to the model's height, width and channels."""
    if _same_elements(x.shape[1:], shape[1:]):
        return _reshape(x, shape, where), "bytes in the model's size"
    images = x[..., None] if x.ndim == 3 else x
    if len(shape) != 4 or images.ndim != 4 or images.shape[3] not in (1, 3) or shape[3] not in (1, 3) or 0 in images.shape:
        raise DataError(f"{where} has samples of shape {list(x.shape[1:])}, which cannot be resized to the model's {list(shape[1:])}")
    notes = ["images"]
    if images.shape[1:3] != shape[1:3]:
        notes.append(f"resized from {images.shape[1]}x{images.shape[2]} to {shape[1]}x{shape[2]} (bilinear, antialiased)")
        images = resize(images, shape[1], shape[2])
    if images.shape[3] == 1 and shape[3] == 3:
        images = np.repeat(images, 3, axis=3)
        notes.append("gray copied to three channels")
    elif images.shape[3] == 3 and shape[3] == 1:
        images = ((images.astype(np.int32) @ np.array([19595, 38470, 7471]) + (1 << 15)) >> 16).astype(np.uint8)[..., None]
        notes.append("colours reduced to gray (BT.601)")
    return images, " ".join(notes[:1]) + (" " + ", ".join(notes[1:]) if notes[1:] else "")


def resize(images: Array, height: int, width: int) -> Array:
    """uint8 images [n, h, w, c] to another size; Pillow's bilinear filter, which averages when it shrinks."""
    try:
        from PIL import Image
    except ImportError:
        raise DataError("images of another size than the model's need Pillow: pip install 'kilograd[cli]'") from None
    out = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for i, image in enumerate(images):
        for c in range(images.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(image[..., c]))
            out[i, ..., c] = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    return out


def byte_rule(quant: QuantParams | None) -> str:
    """How a byte becomes an integer of the input: 'shift', 'unit' or 'symmetric'.

    shift: q = p - 128. It is what the usual preprocessings give (p, p / 255 or p / 127.5 - 1, quantized so that their range fills
    int8), and it stands for any preprocessing whose range fills int8 when nothing is known of it. unit and symmetric: the input's range is
    clearly not filled by [0, 1] or [-1, 1], so the byte is taken as p / 255 or p / 127.5 - 1 and quantized as the input says.
    """
    if quant is None:
        return "shift"
    low, high = quant.s * (-128 - quant.z), quant.s * (127 - quant.z)
    for want_low, want_high in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        tolerance = 0.02 * (want_high - want_low)
        if abs(low - want_low) <= tolerance and abs(high - want_high) <= tolerance:
            return "shift"
    if high > 1.1 and low < -0.9:
        return "shift"  # mean and deviation normalised, or a wider calibration: the whole range is the best guess
    return "symmetric" if low <= -0.5 else "unit"


def map_bytes(x: Array, spec: InputSpec) -> tuple[Array, str]:
    """uint8 values to the input's type, and the rule in words."""
    rule = "shift" if spec.unsigned else byte_rule(spec.quant)
    if rule == "shift":
        q, text = (x.astype(np.int16) - 128).astype(np.int8), "int8 = byte - 128"
    else:
        q = quantize(x / 255.0 if rule == "unit" else x / 127.5 - 1.0, _quant(spec))
        formula = "byte / 255" if rule == "unit" else "byte / 127.5 - 1"
        text = f"real = {formula}, quantized with {_text(_quant(spec))}"
    if spec.dtype is DType.FLOAT32:
        quant = _quant(spec)
        return (q.astype(np.float32) - np.float32(quant.z)) * np.float32(quant.s), f"{text}, then real = scale * (int8 - zero point)"
    return q, text
