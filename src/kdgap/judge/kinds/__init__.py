"""Kinds of claims: one file each, with its test, what refutes it, its power and its words.

Every module of this folder is read when the package is, so a new file is a new kind.
"""

from importlib import import_module
from pkgutil import iter_modules

from kdgap.judge.kinds.kind import KINDS, ClaimKind, kind_of

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["KINDS", "ClaimKind", "kind_of"]
