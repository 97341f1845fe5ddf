"""NumPy twin of csrc/common/sigmoid_s16.h: sigmoid and tanh of int16 fixed-point numbers, bit for bit."""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array
from kilograd.ops.fixed_point import rounding_shr

MAX, MIN = 32767, -32768
FACTORS = (25520, 19875, 12055, 4435, 600, 11, 0)  # exp(-2^i), i from -2 to 4


def wrap16(v: Array) -> Array:
    """kg_wrap_s16."""
    return ((np.asarray(v, np.int64) + 2**15) & 0xFFFF) - 2**15


def high_mul16(a: Array, b: Array | int) -> Array:
    """kg_doubling_high_mul_s16."""
    ab = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = ab + np.where(ab >= 0, 1 << 14, 1 - (1 << 14))
    q = np.where(nudged >= 0, nudged >> 15, -((-nudged) >> 15))  # C division truncates
    return np.where((np.asarray(a) == MIN) & (np.asarray(b) == MIN), MAX, q)


def sat_shl16(a: Array, shift: int) -> Array:
    """kg_sat_shl_s16."""
    limit = (1 << (15 - shift)) - 1
    return np.where(a > limit, MAX, np.where(a < -limit, MIN, np.asarray(a, np.int64) << shift))


def _exp_quarter(a: Array) -> Array:
    x = a + (1 << 12)
    x2 = high_mul16(x, x)
    x3, x4 = high_mul16(x2, x), high_mul16(x2, x2)
    tail = high_mul16(wrap16(rounding_shr(x4, np.array(2)) + x3), 10923)
    total = rounding_shr(wrap16(tail + x2), np.array(1))
    return np.clip(28918 + high_mul16(wrap16(x + total), 28918), MIN, MAX)


def exp_negative16(a: Array, k: int) -> Array:
    """kg_exp_negative_s16."""
    a = np.asarray(a, np.int64)
    quarter = 1 << (13 - k)
    part = (a & (quarter - 1)) - quarter
    y = _exp_quarter(sat_shl16(part, k))
    for i in range(-2, min(k, 5)):
        y = np.where((part - a) & (1 << (15 - k + i)), high_mul16(y, FACTORS[i + 2]), y)
    if k > 5:
        y = np.where(a < -(1 << (20 - k)), 0, y)
    return np.where(a == 0, MAX, y)


def _reciprocal(a: Array) -> Array:
    half = (a + MAX + 1) >> 1
    x = wrap16(23130 + high_mul16(half, -15420))
    for _ in range(3):
        miss = wrap16((1 << 13) - high_mul16(half, x))
        x = wrap16(x + sat_shl16(high_mul16(x, miss), 2))
    return x


def sigmoid16(a: Array) -> Array:
    """kg_sigmoid_s16."""
    a = np.asarray(a, np.int64)
    y = sat_shl16(_reciprocal(exp_negative16(-np.abs(a), 3)), 1)
    return np.where(a == 0, 1 << 14, np.where(a > 0, y, MAX - y))


def tanh16(a: Array, k: int) -> Array:
    """kg_tanh_s16."""
    a = np.asarray(a, np.int64)
    y = sat_shl16(wrap16(_reciprocal(exp_negative16(-np.abs(a), k + 1)) - (1 << 13)), 2)
    return np.where(a == 0, 0, np.where(a > 0, y, wrap16(-y)))
