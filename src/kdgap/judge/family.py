"""Comparisons of one family, judged together: corrected p-values, verdicts, and seeds needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kdgap.judge.comparison import Comparison
from kdgap.judge.entries import Numbers
from kdgap.notice import Notice
from kdgap.spec.claims import Statistics
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
    flags: tuple[Notice, ...] = ()

    def numbers(self, statistics: Statistics) -> Numbers:
        """Return what gains, contrasts and ablations share."""
        comparison, estimate = self.comparison, self.comparison.estimate
        confidence, margin = statistics.confidence, statistics.smallest_effect_pp
        simultaneous = bonferroni_confidence(confidence, self.family)
        needed = _needed(comparison, statistics, self.family)
        return Numbers(
            se_pp=None if estimate is None else estimate.se,
            df=None if estimate is None else estimate.df,
            ci95_pp=None if estimate is None else estimate.interval(confidence),
            p=comparison.p,
            p_holm=self.p_holm,
            family=self.family,
            ci95_simultaneous_pp=None if estimate is None else estimate.interval(simultaneous),
            p_permutation=comparison.p_permutation,
            p_permutation_exact=comparison.exact,
            p_tost=comparison.p_tost(margin),
            p_tost_holm=self.p_tost_holm,
            verdict=self.verdict,
            seeds_needed=needed[0],
            seeds_needed_uncorrected=needed[1],
            seeds_needed_equivalence=needed[2],
            spread_guessed=comparison.guessed,
            flags=self.flags,
            n_smallest=min(comparison.ns, default=0),
            seeds=comparison.seeds,
        )


def judge(comparisons: Sequence[Comparison], statistics: Statistics) -> list[Judged]:
    """Judge the comparisons of one family together.

    Holm's adjusted p decides gain and harm, TOST decides equivalence. A comparison that could not
    be made stays in the family, so that a failed arm does not make its siblings look better. Two
    claims about one and the same sum are one comparison of the family.
    """
    margin, alpha = statistics.smallest_effect_pp, 1 - statistics.confidence
    distinct = {comparison.key: comparison for comparison in comparisons}
    raw = [comparison.p for comparison in distinct.values()]
    tost = [comparison.p_tost(margin) for comparison in distinct.values()]
    adjusted = dict(zip(distinct, zip(holm(raw), holm(tost), strict=True), strict=True))
    family, judged = len(distinct), []
    for comparison in comparisons:
        p_holm, p_tost_holm = adjusted[comparison.key]
        verdict, small = decide(comparison.point or 0.0, p_holm, comparison.p_tost(margin), alpha)
        judgement = Judged(
            comparison=comparison,
            family=family,
            p_holm=p_holm,
            p_tost_holm=p_tost_holm,
            verdict=verdict,
        )
        judged.append(
            with_flags(
                judgement, [*comparison.flags, *_verdict_flags(judgement, statistics, small=small)]
            )
        )
    return judged


def _verdict_flags(judged: Judged, statistics: Statistics, *, small: bool) -> list[Notice]:
    """Return what a reader has to know of a verdict."""
    comparison, family, alpha = judged.comparison, judged.family, 1 - statistics.confidence
    margin, flags = statistics.smallest_effect_pp, []
    if small:
        flags.append(small_flag(margin))
    if comparison.estimate is not None:
        p, p_tost = comparison.estimate.p(), comparison.estimate.p_equivalent(margin)
        together = f"corrected for {family} comparisons"
        if judged.verdict == "equivalent" and (judged.p_tost_holm or 0) > alpha:
            text = (
                f"equivalence rests on this one test (p = {p_tost:.2g}); {together} it is not"
                f" shown (p = {judged.p_tost_holm:.2g})"
            )
            flags.append(Notice("equivalence-uncorrected", text))
        if judged.verdict == "inconclusive" and p <= alpha:
            text = f"p = {p:.2g} alone, but {judged.p_holm:.2g} {together}"
            flags.append(Notice("only-uncorrected", text))
    if comparison.guessed:
        guess = f"the guess of {statistics.expected_std_pp:g} pp"
        text = f"too few seeds to see a spread: seeds needed rest on {guess}"
        flags.append(Notice("spread-guessed", text))
    return flags


def small_flag(margin: float) -> Notice:
    """Return what is said of an effect that is real and does not matter."""
    return Notice("small", f"real, but smaller than the smallest effect of interest, {margin:g} pp")


def _needed(
    comparison: Comparison, statistics: Statistics, family: int
) -> tuple[int | None, int | None, int | None]:
    """Return how many seeds an arm show the smallest effect, or that any effect is smaller.

    The first after correction for the family, the others for one comparison alone.
    """
    margin, target = statistics.smallest_effect_pp, statistics.power
    alpha = 1 - statistics.confidence
    if comparison.point is None:  # more seeds are not what is missing
        return None, None, None
    weights, stds = comparison.spread
    corrected = alpha / max(family, 1)
    if comparison.paired:
        (std,) = stds
        return (
            power.paired_contrast_seeds_needed(margin, std, target, corrected),
            power.paired_contrast_seeds_needed(margin, std, target, alpha),
            power.paired_equivalence_seeds_needed(margin, std, target, alpha),
        )
    return (
        power.contrast_seeds_needed(margin, weights, stds, target, corrected),
        power.contrast_seeds_needed(margin, weights, stds, target, alpha),
        power.equivalence_seeds_needed(margin, weights, stds, target, alpha),
    )


def with_flags(judged: Judged, flags: Sequence[Notice]) -> Judged:
    """Return a judgement with more flags, each code and text once."""
    return replace(judged, flags=tuple(dict.fromkeys([*judged.flags, *flags])))
