"""How the operators of TensorFlow Lite are read, one file a family; every file's RULES are joined here."""

from importlib import import_module
from pkgutil import iter_modules

from kilograd.frontends.tflite_rules.rule import Converted, Rule

RULES: dict[str, Rule] = {}
for _module in iter_modules(__path__):
    RULES |= getattr(import_module(f"{__name__}.{_module.name}"), "RULES", {})

__all__ = ["RULES", "Converted", "Rule"]
