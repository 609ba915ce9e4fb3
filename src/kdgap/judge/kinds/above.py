"""`above`: the sum is above zero."""

from typing import ClassVar

from kdgap.judge.kinds.kind import Finds, claim_kind


@claim_kind
class Above(Finds):
    """Shown by a difference above zero, refuted by one below."""

    name: ClassVar[str] = "above"
    direction: ClassVar[int] = 1
    shown_by: ClassVar[float] = 5.0
    refuted_by: ClassVar[float] = -5.0
