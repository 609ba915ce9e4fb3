"""kdgap: train teacher-student distillation studies, and say which claims survive.

What notebooks and scripts need is offered here by name (`kdgap.load`, `kdgap.analyse`, …; see
`kdgap/library.py`) and loaded when it is first used.
"""

from importlib import import_module

__version__ = "0.1.0"
_OFFERED = (
    *("analyse", "list_datasets", "fidelity_frame", "figure_bytes", "figures", "gains_frame"),
    *("import_results", "load", "list_methods", "list_models", "runs_frame", "spread", "train"),
)


def __getattr__(name: str) -> object:
    if name in _OFFERED:
        return getattr(import_module("kdgap.library"), name)
    raise AttributeError(f"module 'kdgap' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED})
