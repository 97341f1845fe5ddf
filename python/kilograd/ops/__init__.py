"""The operators: importing this package registers all of them."""

from importlib import import_module
from pkgutil import iter_modules

from kilograd.ops.base import Operator, operator, operators

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Operator", "operator", "operators"]
