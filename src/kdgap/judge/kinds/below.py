"""`below`: the sum is below zero, such as what a change took away."""

from typing import ClassVar

from kdgap.judge.kinds.kind import Finds, claim_kind


@claim_kind
class Below(Finds):
    """Shown by a difference below zero, refuted by one above."""

    name: ClassVar[str] = "below"
    direction: ClassVar[int] = -1
    shown_by: ClassVar[float] = -5.0
    refuted_by: ClassVar[float] = 5.0
