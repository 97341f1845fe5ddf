"""Every error kilograd raises on purpose. Each says what is wrong, where, and the way out."""

from __future__ import annotations


class KilogradError(Exception):
    """Base class: the message is one readable paragraph, fit to be printed as it is."""


class ModelError(KilogradError):
    """A model file is broken, hostile, or uses something that kilograd does not have."""


class UnsupportedOperator(ModelError):
    """A model uses an operator (or a form of one) that kilograd does not run."""


class GraphError(KilogradError):
    """A graph is inconsistent: dangling tensor, wrong shape or type, missing quantization."""


class SchemeError(KilogradError):
    """An update scheme is malformed or names something that the model does not have."""


class NoBackwardRule(KilogradError):
    """A gradient would have to pass through an operator that has no backward rule."""


class BudgetError(KilogradError):
    """A plan does not fit the memory it was given."""


class PlanError(KilogradError):
    """A plan file is broken, hostile, or of another version."""


class DataError(KilogradError):
    """A dataset has the wrong shape, type or content (NaN, labels out of range)."""


class BoardError(KilogradError):
    """A board is not known, its description is wrong, or it cannot be built for or run here."""


class DeviceError(KilogradError):
    """A board does not answer, or answers that it cannot. `status` is the name of its answer, '' when there was none."""

    def __init__(self, message: str, status: str = "") -> None:
        super().__init__(message)
        self.status = status
