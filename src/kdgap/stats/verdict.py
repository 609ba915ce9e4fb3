"""The verdict on one comparison."""

from typing import Literal

Verdict = Literal["gain", "harm", "equivalent", "inconclusive"]


def decide(
    value: float, p_adjusted: float | None, p_equivalent: float | None, alpha: float
) -> tuple[Verdict, bool]:
    """Judge a comparison by its test of no effect and its test of equivalence.

    An adjusted p of at most alpha decides, and the sign of the value says for what. Otherwise an
    equivalence p of at most alpha says that any effect is smaller than the smallest of interest
    (Lakens 2017, figure 1, has the four cases). Absence of significance alone decides nothing.

    Args:
        value: estimate of the effect.
        p_adjusted: two-sided p of no effect, adjusted for its family; None if it could not be made.
        p_equivalent: p of the two one-sided tests, adjusted or not as the study says; or None.
        alpha: level, in (0, 1).

    Returns:
        The verdict, and whether it is a gain or harm that is shown to be of no interest: an effect
        that is there, but smaller than the smallest effect of interest.

    Raises:
        ValueError: a number is outside of its range, or an effect of exactly 0 or NaN is called
            significant.
    """
    for p in (p_adjusted, p_equivalent):
        if p is not None and not 0 <= p <= 1:
            raise ValueError(f"p-values must lie in [0, 1], got {p}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    small = p_equivalent is not None and p_equivalent <= alpha
    if p_adjusted is None or p_adjusted > alpha:
        return ("equivalent", False) if small else ("inconclusive", False)
    if value > 0:
        return "gain", small
    if value < 0:
        return "harm", small
    raise ValueError(f"an effect of {value} cannot be significant")
