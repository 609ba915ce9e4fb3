"""Distillation methods: one file each, hyper-parameters as fields, a loss on outputs.

Every module of this folder is read when the package is, so a new file is a new method.
"""

from kdgap.methods.hyperparameters import build_method, hyperparameter_names
from kdgap.methods.method import METHODS, Method, Step, Term
from kdgap.registry import read_folder

read_folder(__name__, __path__)

UNTAUGHT = frozenset(name for name, cls in METHODS.items() if not cls.needs_teacher)
"""Methods that look at no teacher, plain training among them."""

__all__ = [
    "METHODS",
    "UNTAUGHT",
    "Method",
    "Step",
    "Term",
    "build_method",
    "hyperparameter_names",
]
