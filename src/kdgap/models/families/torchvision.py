"""`torchvision:NAME`: any of torchvision's classifiers, built in `models/from_torchvision.py`."""

from kdgap.models.entry import MODELS, ModelEntry, entry_of_others


def _names() -> list[str]:
    from kdgap.models.from_torchvision import names

    return names()


@MODELS.source("torchvision", _names)
def _entry(name: str) -> ModelEntry:
    citation = "torchvision (BSD-3-Clause), docs.pytorch.org/vision"
    return entry_of_others("kdgap.models.from_torchvision", name, citation)
