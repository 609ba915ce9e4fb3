"""Distillation methods: one file each, hyper-parameters as fields, a loss on outputs."""

from kdgap.methods import baseline, feature, logit  # noqa: F401  (registers the methods)
from kdgap.methods.method import (
    METHODS,
    Method,
    Projections,
    Term,
    build_method,
    hyperparameter_names,
)

__all__ = [
    "METHODS",
    "Method",
    "Projections",
    "Term",
    "build_method",
    "hyperparameter_names",
]
