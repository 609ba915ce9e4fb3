"""Many comparisons at once: adjusted p-values and simultaneous intervals."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values of a family after Holm's step-down adjustment (Holm 1979).

    With m comparisons in the family and p_(1) <= ... <= p_(m), the k-th smallest becomes
    `max over j <= k of min(1, (m - j + 1) p_(j))` (Wright 1992). Rejecting where that
    is at most alpha makes at least one false rejection with probability alpha at most, whatever
    the dependence between the comparisons, so arms may be shared.

    Args:
        p_values: raw p-values in [0, 1]. None is a planned comparison that could not be made: it
            stays None but counts as p = 1, as one that failed must not make the others look more
            significant.

    Returns:
        Adjusted values in the order of the input, none below its raw value.

    Raises:
        ValueError: a p-value is outside of [0, 1] or not a number.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    if any(not 0 <= p <= 1 for p, _ in known):
        raise ValueError(f"p-values must lie in [0, 1], got {list(p_values)}")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[index] = largest
    return adjusted


def bonferroni_confidence(confidence: float, family: int) -> float:
    """Return the level of each interval so that all of a family hold at once.

    `1 - (1 - confidence) / family` (Dunn 1961). These intervals are wider than Holm's tests are
    strict: an adjusted p may be below alpha where the simultaneous interval still includes 0.

    Args:
        confidence: joint level, in (0, 1).
        family: number of intervals, at least 1; planned ones that could not be made count too.

    Raises:
        ValueError: the level is outside of (0, 1), or the family is empty.
    """
    if not 0 < confidence < 1 or family < 1:
        raise ValueError(
            f"needs a confidence between 0 and 1 and a family of at least one, got {confidence}"
            f" and {family}"
        )
    return 1 - (1 - confidence) / family
