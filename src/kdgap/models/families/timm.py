"""`timm:NAME`: any network of timm (an extra), built in `kdgap/models/from_timm.py`."""

from functools import partial

from kdgap.models.entry import MODELS, ModelEntry, entry_of_others


def _names() -> list[str]:
    from kdgap.models.from_timm import names

    return names()


def _weights(name: str) -> str | None:
    from kdgap.models.from_timm import offered

    return offered(name)


@MODELS.source("timm", _names)
def _entry(name: str) -> ModelEntry:
    citation = "timm (Apache-2.0), github.com/huggingface/pytorch-image-models"
    weights = partial(_weights, name)
    return entry_of_others("kdgap.models.from_timm", name, citation, weights=weights)
