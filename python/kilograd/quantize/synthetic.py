"""Inputs made up for calibration without data.

Half of the samples are noise whose spectrum falls with frequency, as that of natural images and sounds does; half are overlapping discs of
random size and brightness (the "dead leaves" model, which has edges and flat parts as pictures have). Both fill the range of the
input, with contrasts and means that vary from sample to sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kilograd.ir.graph import Array, Shape

FEW = 16  # values of a sample that are independent of each other


def falling_noise(shape: Sequence[int], rng: np.random.Generator, power: float) -> Array:
    """Gaussian noise [*shape] with amplitude 1 / frequency^power along all axes but the last, normalised."""
    spatial = shape[:-1]
    squared = np.zeros(spatial)
    for axis, size in enumerate(spatial):
        at = [1] * len(spatial)
        at[axis] = size
        squared = squared + (np.fft.fftfreq(size) * max(spatial)).reshape(at) ** 2
    falloff = 1 / np.maximum(squared, 1.0) ** (power / 2)
    axes = tuple(range(len(spatial)))
    noise = np.fft.ifftn(np.fft.fftn(rng.normal(size=shape), axes=axes) * falloff[..., None], axes=axes).real
    mixed = noise @ _mixing(shape[-1], rng) if shape[-1] <= 4 else noise
    normal: Array = (mixed - mixed.mean()) / max(float(mixed.std()), 1e-9)
    return normal


def _mixing(channels: int, rng: np.random.Generator) -> Array:
    """Channels of pictures go together: a common part and a small one of each."""
    return np.full((channels, channels), 1.0 / channels) + 0.3 * rng.normal(size=(channels, channels))


def dead_leaves(shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Discs [h, w, c] that cover each other, sizes by a power law, values uniform in -1..1."""
    h, w, c = shape
    image = np.full(shape, rng.uniform(-1, 1, c))
    rows, cols = np.mgrid[:h, :w]
    side = max(h, w)
    for _ in range(60):
        radius = side * 0.03 / max(float(rng.uniform(0.05, 1.0)), 1e-3)
        inside = (rows - rng.uniform(0, h)) ** 2 + (cols - rng.uniform(0, w)) ** 2 < radius**2
        image[inside] = np.clip(rng.uniform(-1, 1) + 0.3 * rng.normal(size=c), -1, 1)
    return image + 0.03 * rng.normal(size=shape)


def synthetic_inputs(shape: Shape, low: float, high: float, count: int, seed: int = 0) -> Array:
    """Samples float32 [count, *shape] within [low, high]."""
    rng = np.random.default_rng(seed)
    inner = shape[1:] if len(shape) > 1 else shape
    picture = len(inner) == 3 and min(inner[:2]) > 4
    samples = np.empty((count, *shape), np.float32)
    for i in range(count):
        if picture and i % 2:
            sample = dead_leaves(inner, rng)
        elif math.prod(inner) < FEW:
            sample = rng.uniform(-1.5, 1.5, inner)
        elif len(inner) == 1:
            sample = falling_noise((inner[0], 1), rng, rng.uniform(0.5, 1.5)).reshape(inner) / 3
        else:
            sample = falling_noise(inner, rng, rng.uniform(0.7, 1.5)) / 3
        contrast, centre = rng.uniform(0.3, 1.0), rng.uniform(-0.4, 0.4)
        samples[i] = np.clip(sample * contrast + centre, -1, 1).reshape(shape)
    flat = samples.reshape(-1)
    flat[0], flat[-1] = -1, 1  # the range is reached
    return (samples + 1) / 2 * np.float32(high - low) + np.float32(low)
