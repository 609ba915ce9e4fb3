"""Distillation methods: one file each, hyper-parameters as fields, a loss on outputs.

Every module of this folder is read when the package is, so a new file is a new method.
"""

from kdgap.methods.method import METHODS, Method, Step, Term, build_method, hyperparameter_names
from kdgap.registry import read_folder

read_folder(__name__, __path__)

__all__ = ["METHODS", "Method", "Step", "Term", "build_method", "hyperparameter_names"]
