"""The data of the demo: scikit-learn's digits, upright for the network's first training and turned for the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.data import resize
from kilograd.errors import KilogradError
from kilograd.ir.graph import Array

SIZE = 16  # pixels a side that the network reads


@dataclass(frozen=True)
class Digits:
    """uint8 images [n, 16, 16, 1] and labels: upright ones for the network's first training, turned ones to learn on and to test."""

    x_upright: Array
    y_upright: Array
    x_learn: Array
    y_learn: Array
    x_test: Array
    y_test: Array


def digits() -> Digits:
    """scikit-learn's digits (1797 scans of 8x8, real handwriting) in three parts that have no image in common."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise KilogradError("the demo reads the digits of scikit-learn: pip install 'kilograd[demo]'") from None
    content = load_digits()
    images = np.rint(content.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = content.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(images))
    upright, learn, test = np.split(order, [900, 1350])
    large = resize(images, SIZE, SIZE)
    turned = np.ascontiguousarray(np.rot90(large, axes=(1, 2)))
    return Digits(large[upright], labels[upright], turned[learn], labels[learn], turned[test], labels[test])
