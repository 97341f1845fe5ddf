"""How the operators of PyTorch (aten) are read, one file a family; every file's RULES are joined here."""

from importlib import import_module
from pkgutil import iter_modules

from kilograd.frontends.torch_rules.rule import Handler

RULES: dict[str, Handler] = {}
for _module in iter_modules(__path__):
    RULES |= getattr(import_module(f"{__name__}.{_module.name}"), "RULES", {})

__all__ = ["RULES", "Handler"]
