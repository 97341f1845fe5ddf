"""Weights rounded so that a layer's results change least, not each weight (the idea of optimal brain compression and GPTQ).

Weights are rounded one input after the other; the error of each is made good by those that are not rounded yet, as far as their inputs go
together with its own on the calibration samples. Means do not count: bias correction takes care of them.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Graph, Node

ROWS = 8192  # of inputs that the covariance is measured on
DAMPING = 0.01  # of the mean variance, added to each
MAX_FEATURES = 2048


def seen_inputs(graph: Graph, node: Node, x: Array, seed: int = 0) -> Array | None:
    """What single results of a layer see, [rows, features], or [rows, features, channels] for a depthwise layer; None: not done here."""
    w, rng = graph[node.inputs[1]].shape, np.random.default_rng(seed)
    if node.op == "fully_connected":
        rows = x.reshape(-1, w[1])
        return rows[rng.permutation(len(rows))[:ROWS]]
    depthwise = node.op == "depthwise_conv2d"
    if not depthwise and (node.op != "conv2d" or w[3] != x.shape[-1]):
        return None
    (sh, sw), (dh, dw), (top, bottom, left, right) = (node.attrs[k] for k in ("stride", "dilation", "padding"))
    _, height, width, _ = graph[node.outputs[0]].shape
    padded = np.pad(x[:, 0], ((0, 0), (top, bottom), (left, right), (0, 0)))
    picked = rng.permutation(len(x) * height * width)[:ROWS]
    sample, at = np.divmod(picked, height * width)
    oy, ox = np.divmod(at, width)
    taps = [padded[sample, oy * sh + ky * dh, ox * sw + kx * dw] for ky in range(w[1]) for kx in range(w[2])]
    if not depthwise:
        return np.concatenate(taps, axis=1)
    return np.repeat(np.stack(taps, axis=1), w[3] // x.shape[-1], axis=2)


def compensated(weights: Array, scale: Array, inputs: Array) -> Array:
    """Integers [out, features] for weights [out, features] with a scale each row ([out] or [1]), given inputs [rows, features]."""
    centred = inputs.astype(np.float64) - inputs.mean(axis=0, dtype=np.float64)
    h = centred.T @ centred / len(centred)
    variance = np.diag(h).copy()
    h[np.diag_indices_from(h)] += DAMPING * max(float(variance.mean()), 1e-12)
    order = np.argsort(-variance, kind="stable")
    spread = np.linalg.cholesky(np.linalg.inv(h[np.ix_(order, order)])).T  # upper
    left = np.asarray(weights, np.float64)[:, order].copy()
    steps, q = np.broadcast_to(np.asarray(scale, np.float64), (len(left),)), np.zeros(left.shape, np.int8)
    for i in range(left.shape[1]):
        q[:, i] = np.clip(np.rint(left[:, i] / steps), -127, 127).astype(np.int8)
        error = (left[:, i] - q[:, i] * steps) / spread[i, i]
        left[:, i + 1 :] -= np.outer(error, spread[i, i + 1 :])
    back = np.empty_like(q)
    back[:, order] = q
    return back


def round_layer(graph: Graph, node: Node, x: Array, scale: Array, nearest: Array) -> Array:
    """Integer weights of a layer in the shape of its weights; `nearest` where the layer is too large or of another kind."""
    inputs = seen_inputs(graph, node, x)
    weights = np.asarray(graph[node.inputs[1]].data)
    if inputs is None or inputs.shape[1] > MAX_FEATURES or len(inputs) < 2:
        return nearest
    if inputs.ndim == 2:
        return compensated(weights.reshape(len(weights), -1), scale, inputs).reshape(weights.shape)
    flat, channels = weights.reshape(-1, weights.shape[3]), weights.shape[3]
    steps = np.broadcast_to(scale, (channels,))
    rounded = [compensated(flat[None, :, c], steps[c : c + 1], inputs[:, :, c])[0] for c in range(channels)]
    return np.stack(rounded, axis=1).reshape(weights.shape)
