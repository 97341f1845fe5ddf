"""NumPy twins of csrc/common: fixed point, random numbers, exponents, updates. Bit-exact; the C headers explain the formulas."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kilograd.ir.graph import Array

I32_MAX = 2**31 - 1
I32_MIN = -(2**31)

ROUND_STOCHASTIC = 0
ROUND_NEAREST = 1
WEIGHT_FRACTION = 16
BIAS_FRACTION = 8
EXPONENT_MIN = -60
EXPONENT_MAX = 30
EXPONENT_PATIENCE = 32
EXPONENT_START = -30


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift) with real = multiplier * 2^(shift-31), multiplier in [2^30, 2^31) or 0.

    As TensorFlow Lite's QuantizeMultiplier (kernels/internal/quantization_util.cc).
    """
    if real == 0.0:
        return 0, 0
    mantissa, shift = np.frexp(real)
    q = int(np.floor(float(mantissa) * 2**31 + 0.5))
    shift = int(shift)
    if q == 2**31:
        q //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        # No sound scales give such a factor, but files have them. The shift that defines it is undefined in C; LiteRT's kernels on x86 take
        # it modulo 32, and so do we.
        return (I32_MAX, 30) if shift & 31 == 31 else (q, shift & 31)
    return q, shift


def quantize_multipliers(real: npt.ArrayLike) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """quantize_multiplier element by element."""
    pairs = [quantize_multiplier(float(r)) for r in np.atleast_1d(np.asarray(real, np.float64))]
    return np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.int8)


def wrap32(v: Array) -> Array:
    """Two's complement wrap of int64 values to int32 range (kept as int64)."""
    return ((np.asarray(v, np.int64) + 2**31) & 0xFFFFFFFF) - 2**31


def doubling_high_mul(a: Array, b: Array) -> Array:
    """kg_doubling_high_mul on int64 arrays holding int32 values."""
    ab = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = ab + np.where(ab >= 0, 1 << 30, 1 - (1 << 30))
    q = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))  # C division truncates
    return np.where((a == I32_MIN) & (b == I32_MIN), I32_MAX, q)


def rounding_shr(a: Array, shift: Array) -> Array:
    """kg_rounding_shr."""
    a = np.asarray(a, np.int64)
    mask = (np.int64(1) << np.asarray(shift, np.int64)) - 1
    threshold = (mask >> 1) + (a < 0)
    return (a >> shift) + ((a & mask) > threshold)


def requantize(a: Array, multiplier: Array, shift: Array) -> Array:
    """kg_requantize: a * multiplier * 2^(shift-31), gemmlowp double rounding; the last axis is the channel."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    return rounding_shr(doubling_high_mul(wrap32(np.asarray(a, np.int64) << left), np.asarray(multiplier, np.int64)), right)


def requantize_once(a: Array, multiplier: Array, shift: Array) -> npt.NDArray[np.int64]:
    """kg_requantize_once: a * multiplier * 2^(shift-31), rounded half up; the last axis is the channel."""
    total = 31 - np.asarray(shift, np.int64)
    q = (np.asarray(a, np.int64) * np.asarray(multiplier, np.int64) + (np.int64(1) << (total - 1))) >> total
    return np.clip(q, I32_MIN, I32_MAX)


def requantize_wide(a: Array, multiplier: Array, shift: Array) -> Array:
    """kg_requantize_wide: 64-bit sums of int16 activations, a 15-bit multiplier; the last axis is the channel."""
    m, total = np.asarray(multiplier, np.int64), 15 - np.asarray(shift, np.int64)
    reduced = np.where(m < 0x7FFF0000, (m + (1 << 15)) >> 16, 0x7FFF)
    v = np.clip(np.asarray(a, np.int64), -(1 << 47), (1 << 47) - 1)
    return wrap32((v * reduced + (np.int64(1) << (total - 1))) >> total)


def requantize_wide_once(a: Array, multiplier: Array, shift: Array) -> Array:
    """kg_requantize_wide_once: 64-bit sums, all 31 bits of the multiplier; the last axis is the channel."""
    m, total = np.asarray(multiplier, np.int64), 31 - np.asarray(shift, np.int64)
    v = np.clip(np.asarray(a, np.int64), -(1 << 47), (1 << 47) - 1)
    low = (v & 0xFFFF) * m + (np.int64(1) << (total - 1))
    return np.clip(((v >> 16) * m + (low >> 16)) >> (total - 16), I32_MIN, I32_MAX)


def high_mul(a: int, b: int) -> int:
    """kg_doubling_high_mul on Python ints."""
    return int(doubling_high_mul(np.array(a, np.int64), np.array(b, np.int64)))


def shr_rounded(a: int, shift: int) -> int:
    """kg_rounding_shr on Python ints."""
    return int(rounding_shr(np.array(a, np.int64), np.array(shift, np.int64)))


def shl_saturated(a: int, shift: int) -> int:
    """kg_saturating_shl on Python ints."""
    return max(I32_MIN, min(I32_MAX, a << shift))


def one_over_one_plus(a: int) -> int:
    """kg_one_over_one_plus: 1 / (1 + a), both Q0.31."""
    half = (a + 2**31) // 2
    x = 1515870810 + high_mul(half, -1010580540)
    for _ in range(3):
        x += shl_saturated(high_mul(x, (1 << 29) - high_mul(half, x)), 2)
    return shl_saturated(x, 1)


def key(name: str) -> int:
    """Key of a tensor's random stream: CRC-32 of its name, so that pruning other tensors away changes nothing."""
    return zlib.crc32(name.encode())


def _hash_u32(x: int) -> int:
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def random_start(seed: int, step: int, tensor: int) -> int:
    """kg_random_start."""
    return _hash_u32(_hash_u32((_hash_u32(seed ^ 0x6B67) + step) & 0xFFFFFFFF) ^ tensor)


def random_at(start: int, index: Array) -> npt.NDArray[np.int64]:
    """kg_random_at: 16 random bits for each linear index."""
    u = (np.uint64(start) + np.asarray(index, np.uint64) * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)
    u ^= u >> np.uint64(16)
    u = (u * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    return (u >> np.uint64(16)).astype(np.int64)


def round_shr(v: int, shift: int) -> int:
    """kg_round_shr_s64 on a Python int."""
    if shift <= 0:
        return v
    return 0 if shift > 62 else (v + (1 << (shift - 1))) >> shift


def scale_pow2(v: int, shift: int) -> int:
    """kg_scale_pow2_s64 on a Python int."""
    limit = 1 << 62
    if shift <= 0:
        return round_shr(v, -shift)
    if v == 0:
        return 0
    if shift > 62 or v > (limit >> shift) or v < -(limit >> shift):
        return limit if v > 0 else -limit
    return v << shift


# ---- training state -------------------------------------------------------------------------------------------------------

TRAIN_STATE = np.dtype(
    [
        ("seed", "<u4"),
        ("step", "<u4"),
        ("lr_mantissa", "<i4"),
        ("lr_exponent", "<i4"),
        ("loss", "<i4"),
        ("predicted", "<i4"),
        ("skip", "<i4"),
        ("skipped", "<i4"),
        ("apply", "<i4"),
        ("reserved", "<i4", (3,)),
    ]
)
EXPONENT_STATE = np.dtype([("e", "i1"), ("next", "i1"), ("quiet", "u1"), ("reserved", "u1", (5,))])


def exponent_view(raw: Array) -> Array:
    """A STATE tensor int32[2] seen as one kg_exponent record (shares memory)."""
    return raw.view(EXPONENT_STATE)


def train_view(raw: Array) -> Array:
    """The STATE tensor int32[12] seen as one kg_train_state record (shares memory)."""
    return raw.view(TRAIN_STATE)


def exponent_initial(start: int = EXPONENT_START) -> npt.NDArray[np.int32]:
    """Initial kg_exponent as int32[2]."""
    record = np.zeros(1, EXPONENT_STATE)
    record["e"] = record["next"] = start
    return record.view(np.int32)


def write_error(acc: Array, acc_exponent: int, exponent: Array, train: Array, tensor: int) -> npt.NDArray[np.int8]:
    """kg_error_begin/put/end for a whole tensor: accumulators (value acc * 2^acc_exponent) to int8; updates the exponent record."""
    ex, st = exponent_view(exponent), train_view(train)
    e = min(max(int(ex["next"][0]), EXPONENT_MIN), EXPONENT_MAX)
    ex["e"] = e
    shift = e - acc_exponent
    flat = np.asarray(acc, np.int64).reshape(-1)
    if shift <= 0:
        q = np.array([scale_pow2(int(v), -shift) for v in flat], dtype=object) if shift < -24 else flat << -shift
    elif shift > 47:
        q = np.zeros_like(flat)
    else:
        r = random_at(random_start(int(st["seed"][0]), int(st["step"][0]), tensor), np.arange(flat.size))
        q = (flat + (r >> (16 - shift) if shift <= 16 else r << (shift - 16))) >> shift
    peak = int(np.abs(flat).max(initial=0))
    exponent_end(ex, peak, shift)
    clipped: npt.NDArray[np.int8] = np.clip(q, -127, 127).astype(np.int8).reshape(np.shape(acc))
    return clipped


def exponent_end(ex: Array, peak: int, shift: int) -> None:
    """kg_exponent_end on one record."""
    s = min(max(shift, -28), 40)
    p, one = (4 * peak) << max(-s, 0), 1 << max(s, 0)
    e, quiet = int(ex["e"][0]), int(ex["quiet"][0])
    if p > 510 * one:
        ex["next"], ex["quiet"] = min(e + 1, EXPONENT_MAX), 0
    elif p > 255 * one:
        ex["next"], ex["quiet"] = e, 0
    elif quiet + 1 >= EXPONENT_PATIENCE:
        ex["next"], ex["quiet"] = max(e - 1, EXPONENT_MIN), 0
    else:
        ex["next"], ex["quiet"] = e, quiet + 1


@dataclass(frozen=True)
class Rate:
    """mantissa * 2^exponent."""

    mantissa: int
    exponent: int


def update_rate(train: Array, mantissa: int, exponent: int, error_exponent: int) -> Rate:
    """kg_update_rate for one channel."""
    st = train_view(train)
    lr_m, lr_e = int(st["lr_mantissa"][0]) & 0x7FFF, min(max(int(st["lr_exponent"][0]), -64), 64)
    return Rate((mantissa * lr_m) >> 15, exponent + lr_e + error_exponent + 15)


def update_step(gradient: Array, rate: Rate, fraction: int) -> npt.NDArray[np.int64]:
    """kg_update_step on an array of int32 gradients."""
    limit = 1 << 47
    steps = [scale_pow2(int(g) * rate.mantissa, rate.exponent + fraction) for g in np.asarray(gradient).reshape(-1)]
    return np.array([min(max(s, -limit), limit) for s in steps], np.int64).reshape(np.shape(gradient))


def update_round(value: Array, step: Array, fraction: int, rounding: int, random: Array | int) -> npt.NDArray[np.int64]:
    """kg_update_round."""
    t = np.asarray(value, np.int64) * (1 << fraction) - step
    r = 1 << (fraction - 1) if rounding == ROUND_NEAREST else np.asarray(random, np.int64) >> (16 - fraction)
    return (t + r) >> fraction


def update_weight(w: Array, f: Array | None, index: Array, step: Array, rounding: int, start: int, lo: int, hi: int) -> None:
    """kg_update_weight on elements `index` (linear) of int8 arrays `w` and `f`, in place."""
    wf = w.reshape(-1)
    if f is not None:
        ff = f.reshape(-1)
        full = update_round(wf[index].astype(np.int64) * 256 + ff[index], step, WEIGHT_FRACTION - 8, ROUND_NEAREST, 0)
        q = np.clip((full + 128) >> 8, lo, hi)
        wf[index] = q.astype(np.int8)
        ff[index] = np.clip(full - q * 256, -128, 127).astype(np.int8)
    else:
        q = update_round(wf[index], step, WEIGHT_FRACTION, rounding, random_at(start, index))
        wf[index] = np.clip(q, lo, hi).astype(np.int8)


def update_defer(pending: Array, index: Array, step: Array) -> None:
    """kg_update_defer, in place."""
    flat = pending.reshape(-1)
    flat[index] = np.clip(flat[index].astype(np.int64) + step, I32_MIN, I32_MAX).astype(np.int32)


def normalize(real: float) -> tuple[int, int]:
    """(mantissa, exponent) with real ~ mantissa * 2^exponent, mantissa in [2^30, 2^31) or 0: the factors of kg_update."""
    if real <= 0.0 or not np.isfinite(real):
        return 0, 0
    m, e = np.frexp(real)
    q, e = round(float(m) * 2**31), int(e) - 31
    if q == 2**31:
        q, e = q >> 1, e + 1
    return (q, e) if -128 <= e <= 127 else (0, 0)
