"""Feature maps of unlike sizes, and what several methods make of them."""

from torch import Tensor

from kdgap.methods.shared import wide
from kdgap.models.pooling import align


def to_smaller(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool the larger of two maps to the size of the smaller, in at least float32."""
    size = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
    return align(wide(a), size), align(wide(b), size)
