"""Networks that return `Output(logits, features)`; `MODELS` starts without torch."""

from kdgap.models import families  # noqa: F401  (registers the models)
from kdgap.models.entry import MODELS, ModelEntry

__all__ = ["MODELS", "ModelEntry"]
