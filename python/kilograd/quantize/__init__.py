"""Float models to int8: calibration, ranges, weights, corrections, and how good the result is."""

from kilograd.quantize.api import Quantized, quantize_model
from kilograd.quantize.config import QuantizeConfig

__all__ = ["QuantizeConfig", "Quantized", "quantize_model"]
