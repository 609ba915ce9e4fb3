"""What a loss reads of a network besides its logits: declared by methods, captured if asked for.

Starts without torch, for a plan asks whether a network has what a method reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Taps:
    """Which inner values are kept.

    Attributes:
        maps: stages whose feature map is kept after its last ReLU.
        before_relu: stages whose feature map is kept before it.
        embedding: whether the embedding is kept, which is what the classifier gets.
        classifier: whether the classifier's weight and bias are.
        connected: whether the map behind a connector to another network's classifier is.
        norms: stages of which scale and shift of the last batch norm are kept.
        pooled: whether the map is kept whose mean over pixels is the embedding.
    """

    maps: tuple[str, ...] = ()
    before_relu: tuple[str, ...] = ()
    embedding: bool = False
    classifier: bool = False
    norms: tuple[str, ...] = ()
    connected: bool = False
    pooled: bool = False

    @property
    def kinds(self) -> set[str]:
        """Which attributes ask for something."""
        return {field.name for field in fields(self) if getattr(self, field.name)}


NOTHING = Taps()
KINDS = {
    "maps": "feature maps",
    "before_relu": "feature maps before their last ReLU",
    "pooled": "a last map that is averaged before the classifier",
    "embedding": "an embedding before a linear classifier",
    "classifier": "a linear classifier",
    "connected": "a connector to another classifier",
    "norms": "batch norms at the ends of its stages",
}
"""What each attribute asks for, in words."""


def together(asked: Iterable[Taps], stages: tuple[str, ...]) -> Taps:
    """Return what serves all; stages in the network's own order."""
    asked = list(asked)

    def union(name: str) -> tuple[str, ...]:
        wanted = {stage for taps in asked for stage in getattr(taps, name)}
        return tuple(stage for stage in stages if stage in wanted)

    return Taps(
        maps=union("maps"),
        before_relu=union("before_relu"),
        pooled=any(taps.pooled for taps in asked),
        embedding=any(taps.embedding for taps in asked),
        classifier=any(taps.classifier for taps in asked),
        norms=union("norms"),
        connected=any(taps.connected for taps in asked),
    )
