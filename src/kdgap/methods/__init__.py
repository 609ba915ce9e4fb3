"""Distillation methods: one file each, hyper-parameters as fields, a loss on outputs.

Every module of this folder is read when the package is, so a new file is a new method.
"""

from importlib import import_module
from pkgutil import iter_modules

from kdgap.methods.method import METHODS, Method, Term, build_method, hyperparameter_names

for _module in iter_modules(__path__):
    if not _module.ispkg:
        import_module(f"{__name__}.{_module.name}")

__all__ = ["METHODS", "Method", "Term", "build_method", "hyperparameter_names"]
