"""Networks that return `Output(logits, features)`."""

from kdgap.models import cifar_resnet, resnet  # noqa: F401  (registers the models)
from kdgap.models.build import build_model, load_state, model_cost
from kdgap.models.output import MODELS, Network, Output

__all__ = ["MODELS", "Network", "Output", "build_model", "load_state", "model_cost"]
