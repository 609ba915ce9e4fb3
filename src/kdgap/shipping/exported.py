"""What a model card is made of."""

from dataclasses import dataclass

from kdgap.shipping.evidence import Measured
from kdgap.shipping.facts import Facts
from kdgap.shipping.latency import Latency
from kdgap.shipping.sources import Source


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        source: the network.
        form: the format.
        facts: what the file says of itself.
        measured: its accuracy; None where nobody measured it.
        latency: of one image.
        parameters: how many, trained and frozen.
        bytes: of the file; of a folder, of its weights.
    """

    source: Source
    form: str
    facts: Facts
    measured: Measured | None
    latency: Latency
    parameters: int
    bytes: int
