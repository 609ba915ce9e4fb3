"""Networks that return `Output(logits, features)`.

`MODELS` starts without torch; what builds networks is offered here too, and loaded when asked for.
"""

from importlib import import_module

from kdgap.models import families  # noqa: F401  (registers the models)
from kdgap.models.entry import MODELS, ModelEntry

_WITH_TORCH = {
    **dict.fromkeys(("build_model", "load_state", "model_cost"), "kdgap.models.build"),
    **dict.fromkeys(("Network", "Output"), "kdgap.models.output"),
}


def __getattr__(name: str) -> object:
    if name in _WITH_TORCH:
        return getattr(import_module(_WITH_TORCH[name]), name)
    raise AttributeError(f"module 'kdgap.models' has no attribute {name!r}")


__all__ = ["MODELS", "ModelEntry"]
