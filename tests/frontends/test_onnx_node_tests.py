"""The node tests of ONNX itself: each is computed as it expects, or refused in one sentence; none is wrong.

Operands that kilograd needs as constants (weights, axes, scales) are inputs in these models; they become initializers.
"""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx import import_onnx
from kilograd.ir.graph import Array, Graph
from tests.frontends.onnx_models import onnx, run_graph
from tests.shared_data import require

ARCHIVE = "models/onnx_tests/onnx_backend_node_tests_subset.tar.gz"
#: their expected outputs are written with four decimals
ROUNDED = ("test_averagepool_2d_ceil_last_window_starts_on_pad",)
#: what must be refused, by the word that the refusal contains; everything else must pass
REFUSED = {
    "no such thing here: losses": ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"),
    "optimizers": ("Momentum", "Adagrad", "Adam"),
    "recurrent": ("GRU", "LSTM"),
    "numbers are quantized at run time or not at all": ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "stored integers"),
    "types": ("int16", "uint16", "uint32", "uint64", "int32", "float8", "float4", "int4", "type 25", "type 26"),
    "forms": ("spatial axes", "in blocks", "an activation with 3 scales", "dilation", "batch 1", "training mode", "result 1 is used"),
    "empty tensors": ("'?'", "'allowzero'", "another number of elements"),
}


def archive() -> dict[str, dict[str, bytes]]:
    """Files of each test."""
    tests: dict[str, dict[str, bytes]] = {}
    with tarfile.open(require(ARCHIVE)) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is not None:
                name, _, file = member.name.removeprefix("./").partition("/")
                tests.setdefault(name, {})[file] = stream.read()
    return tests


def array(data: bytes) -> Array:
    found: Array = onnx.numpy_helper.to_array(onnx.TensorProto.FromString(data))
    return found


def frozen(files: dict[str, bytes]) -> bytes:
    """The model with its inputs behind the first as initializers."""
    model = onnx.ModelProto.FromString(files["model.onnx"])
    for k, port in enumerate(list(model.graph.input)):
        given = files.get(f"test_data_set_0/input_{k}.pb")
        if k and given is not None:
            tensor = onnx.TensorProto.FromString(given)
            tensor.name = port.name
            model.graph.initializer.append(tensor)
            model.graph.input.remove(port)
    data: bytes = model.SerializeToString()
    return data


def imported(files: dict[str, bytes]) -> Graph:
    try:
        return import_onnx(files["model.onnx"])
    except ModelError:
        return import_onnx(frozen(files))


def agrees(name: str, files: dict[str, bytes], graph: Graph) -> bool:
    ports = onnx.ModelProto.FromString(files["model.onnx"]).graph.input
    feeds = {p.name: array(files[f"test_data_set_0/input_{k}.pb"]) for k, p in enumerate(ports) if p.name in graph.inputs}
    results = run_graph(graph, feeds)
    for k, got in enumerate(results):
        want = array(files[f"test_data_set_0/output_{k}.pb"])
        tolerance = 1e-4 if name in ROUNDED else 1e-5
        if got.shape != want.shape or not np.allclose(got.astype(np.float64), want.astype(np.float64), rtol=1e-4, atol=tolerance):
            return False
    return bool(results)


def test_every_node_test() -> None:
    passed, refused, failed = [], {}, []
    for name, files in sorted(archive().items()):
        try:
            graph = imported(files)
        except (ModelError, UnsupportedOperator) as error:
            refused[name] = str(error)
            continue
        (passed if agrees(name, files, graph) else failed).append(name)
    print(f"passed {len(passed)}, refused {len(refused)}, failed {len(failed)}")
    assert not failed
    words = [w for group in REFUSED.values() for w in group]
    unexpected = {k: v for k, v in refused.items() if not any(w in v for w in words) or "cannot be read" in v}
    assert not unexpected, unexpected
    assert len(passed) >= 200


@pytest.mark.parametrize("name", ["test_basic_conv_with_padding", "test_softmax_axis_1", "test_qlinearmatmul_2D_uint8_float32"])
def test_a_wrong_result_would_be_seen(name: str) -> None:
    files = dict(archive()[name])
    graph = imported(files)
    assert agrees(name, files, graph)
    output = array(files["test_data_set_0/output_0.pb"])
    files["test_data_set_0/output_0.pb"] = onnx.numpy_helper.from_array(output[::-1] + np.ones((), output.dtype)).SerializeToString()
    assert not agrees(name, files, graph)
