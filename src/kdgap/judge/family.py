"""Comparisons of one family, judged together: corrected p-values, verdicts, and seeds needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kdgap.judge.comparison import Comparison, Flag
from kdgap.spec.study import Statistics
from kdgap.stats import power
from kdgap.stats.multiple import bonferroni_confidence, holm
from kdgap.stats.verdict import Verdict, decide


@dataclass(frozen=True)
class Judged:
    """A comparison with what its family makes of it; see `statistics.md` for the fields."""

    comparison: Comparison
    family: int
    p_holm: float | None
    p_tost_holm: float | None
    verdict: Verdict
    flags: list[Flag] = field(default_factory=list)

    def numbers(self, statistics: Statistics) -> dict[str, Any]:
        """Return the machine-readable fields that gains, contrasts and ablations share."""
        made, estimate = self.comparison, self.comparison.estimate
        confidence, margin = statistics.confidence, statistics.smallest_effect_pp
        simultaneous = bonferroni_confidence(confidence, self.family)
        return {
            "se_pp": estimate and estimate.se,
            "df": estimate and estimate.df,
            "ci95_pp": estimate and list(estimate.interval(confidence)),
            "p": made.p,
            "p_holm": self.p_holm,
            "family": self.family,
            "ci95_simultaneous_pp": estimate and list(estimate.interval(simultaneous)),
            "p_permutation": made.p_permutation,
            "p_permutation_exact": made.exact,
            "p_tost": made.p_tost(margin),
            "p_tost_holm": self.p_tost_holm,
            "verdict": self.verdict,
            **_needed(made, statistics, self.family),
            "spread_guessed": made.guessed,
            "flags": [vars(flag) for flag in self.flags],
        }


def judge(comparisons: Sequence[Comparison], statistics: Statistics) -> list[Judged]:
    """Judge the comparisons of one family together.

    Holm's adjusted p decides gain and harm, TOST decides equivalence. A comparison that could not
    be made stays in the family, so that a failed cell does not make its siblings look better. Two
    claims about one and the same sum are one comparison of the family.
    """
    margin, alpha = statistics.smallest_effect_pp, 1 - statistics.confidence
    distinct = {made.key: made for made in comparisons}
    raw = [made.p for made in distinct.values()]
    tost = [made.p_tost(margin) for made in distinct.values()]
    adjusted = dict(zip(distinct, zip(holm(raw), holm(tost), strict=True), strict=True))
    family, judged = len(distinct), []
    for made in comparisons:
        p_holm, p_tost_holm = adjusted[made.key]
        verdict, small = decide(made.point or 0.0, p_holm, made.p_tost(margin), alpha)
        one = Judged(
            comparison=made,
            family=family,
            p_holm=p_holm,
            p_tost_holm=p_tost_holm,
            verdict=verdict,
        )
        judged.append(with_flags(one, [*made.flags, *_verdict_flags(one, statistics, small=small)]))
    return judged


def _verdict_flags(judged: Judged, statistics: Statistics, *, small: bool) -> list[Flag]:
    """Return what a reader has to know of a verdict."""
    made, family, alpha = judged.comparison, judged.family, 1 - statistics.confidence
    margin, flags = statistics.smallest_effect_pp, []
    if small:
        flags.append(small_flag(margin))
    if made.estimate is not None:
        p, p_tost = made.estimate.p(), made.estimate.p_equivalent(margin)
        together = f"corrected for {family} comparisons"
        if judged.verdict == "equivalent" and (judged.p_tost_holm or 0) > alpha:
            text = (
                f"equivalence rests on this one test (p = {p_tost:.2g}); {together} it is not"
                f" shown (p = {judged.p_tost_holm:.2g})"
            )
            flags.append(Flag("equivalence-uncorrected", text))
        if judged.verdict == "inconclusive" and p <= alpha:
            text = f"p = {p:.2g} alone, but {judged.p_holm:.2g} {together}"
            flags.append(Flag("only-uncorrected", text))
    if made.guessed:
        guess = f"the guess of {statistics.expected_std_pp:g} pp"
        text = f"too few seeds to see a spread: seeds needed rest on {guess}"
        flags.append(Flag("spread-guessed", text))
    return flags


def small_flag(margin: float) -> Flag:
    """Return what is said of an effect that is real and does not matter."""
    return Flag("small", f"real, but smaller than the smallest effect of interest, {margin:g} pp")


def _needed(made: Comparison, statistics: Statistics, family: int) -> dict[str, int | None]:
    """Return how many seeds an arm show the smallest effect, or that any effect is smaller."""
    margin, target = statistics.smallest_effect_pp, statistics.power
    alpha = 1 - statistics.confidence
    if made.point is None:  # more seeds are not what is missing
        names = ("seeds_needed", "seeds_needed_uncorrected", "seeds_needed_equivalence")
        return dict.fromkeys(names)
    weights, stds = made.spread
    levels = {"seeds_needed": alpha / max(family, 1), "seeds_needed_uncorrected": alpha}
    if made.paired:
        (std,) = stds
        found = {
            name: power.paired_contrast_seeds_needed(margin, std, target, level)
            for name, level in levels.items()
        }
        enough = power.paired_equivalence_seeds_needed(margin, std, target, alpha)
    else:
        found = {
            name: power.contrast_seeds_needed(margin, weights, stds, target, level)
            for name, level in levels.items()
        }
        enough = power.equivalence_seeds_needed(margin, weights, stds, target, alpha)
    return {**found, "seeds_needed_equivalence": enough}


def with_flags(judged: Judged, flags: Sequence[Flag]) -> Judged:
    """Return a judgement with more flags, each code and text once."""
    return replace(judged, flags=list(dict.fromkeys([*judged.flags, *flags])))
