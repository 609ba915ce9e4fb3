"""One comparison, judged: a weighted sum of arms, its interval, p-values and the seeds it needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kdgap.judge.claims import Weighted
from kdgap.judge.evidence import Evidence
from kdgap.spec.study import Statistics
from kdgap.stats import contrast, permutation, power
from kdgap.stats.contrast import Estimate, mean_and_std
from kdgap.stats.multiple import bonferroni_confidence, holm
from kdgap.stats.verdict import Verdict, decide

FEW = 4
"""Seeds of an arm up to which Welch's degrees of freedom may be too many; see `statistics.md`."""


@dataclass(frozen=True)
class View:
    """How the runs are looked at.

    Attributes:
        weights: `best` or `last`: whose test accuracy counts.
        test: `welch` compares independent arms, `paired` runs of one seed.
        drop_shared: leave out seeds whose own runs chose the hyper-parameters.
        permute: also compute a permutation p, which takes most of the time of large arms.
    """

    weights: str
    test: str
    drop_shared: bool = False
    permute: bool = True


@dataclass(frozen=True)
class Flag:
    """Something a reader has to know of a number: a short code, and a sentence."""

    code: str
    text: str


@dataclass(frozen=True)
class Comparison:
    """A weighted sum of arms, in percentage points.

    Attributes:
        ns: runs' seeds counted in each arm.
        point: the sum of the weighted means; None where an arm has no value.
        estimate: the same with its standard error; None where there is none.
        spread: standard deviations of the arms (Welch) or of the differences (paired), with their
            weights: what power is computed from; a guess where `guessed`.
    """

    terms: tuple[Weighted, ...]
    seeds: tuple[tuple[int, ...], ...]
    point: float | None
    estimate: Estimate | None
    p_permutation: float | None
    exact: bool
    spread: tuple[tuple[float, ...], tuple[float, ...]]
    guessed: bool
    paired: bool
    flags: tuple[Flag, ...] = ()

    @property
    def signed_key(self) -> tuple[Any, ...]:
        """What makes two comparisons one and the same: their arms and weights."""
        parts = ((t.arm.slot.text if t.arm else t.text, t.arm.cell if t.arm else "", t.weight)
                 for t in self.terms)  # fmt: skip
        return tuple(sorted(parts))

    @property
    def key(self) -> tuple[Any, ...]:
        """The same up to the sign: a difference and its opposite are one two-sided test."""
        sign = 1 if self.signed_key[0][2] > 0 else -1
        return tuple((slot, cell, sign * weight) for slot, cell, weight in self.signed_key)

    @property
    def p(self) -> float | None:
        """Two-sided p of no difference."""
        return None if self.estimate is None else self.estimate.p()

    def p_tost(self, margin: float) -> float | None:
        """Return the p of a difference as large as the margin, in either direction."""
        return None if self.estimate is None else self.estimate.p_equivalent(margin)

    @property
    def ns(self) -> tuple[int, ...]:
        """Seeds counted in each arm."""
        return tuple(len(seeds) for seeds in self.seeds)


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


def compare(terms: Sequence[Weighted], evidence: Evidence, view: View) -> Comparison:
    """Compute a weighted sum of arms; what is missing or odd becomes a flag."""
    values, flags = _values(terms, evidence, view)
    weights = [term.weight for term in terms]
    paired = view.test == "paired"
    if paired:
        common = set.intersection(*(set(arm) for arm in values)) if values else set()
        if any(len(arm) > len(common) for arm in values):
            flags.append(Flag("unpaired-seeds", "seeds that not every arm has are left out"))
        values = [{seed: arm[seed] for seed in sorted(common)} for arm in values]
    elif len({tuple(arm) for arm in values if arm}) > 1:
        listed = " against ".join(_seeds(arm) for arm in values)
        flags.append(Flag("unequal-seeds", f"the arms have different seeds: {listed}"))
    arms = [list(arm.values()) for arm in values]
    whole = bool(arms) and all(arms)
    estimate = None
    if whole:
        estimate = (contrast.paired if paired else contrast.welch)(arms, weights)
        if estimate is None:
            few = min(len(arm) for arm in arms) < 2
            text = "an arm has one seed" if few else "nothing varies over the seeds"
            flags.append(Flag("one-seed" if few else "no-variance", f"{text}: no interval"))
    if estimate is not None and not paired and _rests_on_few(arms, weights):
        text = (
            f"an arm of {FEW} seeds or fewer carries most of the error: its interval holds less"
            " often than it says, and p-values that many comparisons were corrected for are too"
            " small"
        )
        flags.append(Flag("few-seeds", text))
    p, exact = (
        _permutation(arms, weights, paired=paired) if whole and view.permute else (None, False)
    )
    spread, guessed = _spread(arms, weights, evidence.statistics, paired=paired)
    return Comparison(
        terms=tuple(terms),
        seeds=tuple(tuple(arm) for arm in values),
        point=contrast.point(arms, weights) if whole else None,
        estimate=estimate,
        p_permutation=p,
        exact=exact,
        spread=spread,
        guessed=guessed,
        paired=paired,
        flags=tuple(flags),
    )


def _values(
    terms: Sequence[Weighted], evidence: Evidence, view: View
) -> tuple[list[dict[int, float]], list[Flag]]:
    """Return accuracy in percent by seed of each arm, and a flag for each that lacks some."""
    shared: set[int] = set()
    if view.drop_shared:
        for term in terms:
            shared |= set(evidence.shared_seeds(term.arm)) if term.arm else set()
    found, flags = [], []
    for term in terms:
        values = {} if term.arm is None else term.arm.by_seed(view.weights, shared)
        found.append(values)
        if term.arm is None:
            flags.append(Flag("no-runs", f"{term.text}: {term.lack}"))
            continue
        missing = term.arm.missing(view.weights)
        if missing:
            listed = "; ".join(missing[:3]) + ("; …" if len(missing) > 3 else "")
            count = f"{len(missing)} of {len(term.arm.runs)} runs have no result"
            flags.append(Flag("missing-runs", f"{term.text}: {count}: {listed}"))
    return found, flags


def _rests_on_few(arms: list[list[float]], weights: list[float]) -> bool:
    """Whether the error comes mostly from an arm so small that Welch's df are too many."""
    shares = [
        weight**2 * (mean_and_std(arm)[1] or 0.0) ** 2 / len(arm)
        for arm, weight in zip(arms, weights, strict=True)
    ]
    total = math.fsum(shares)
    return any(len(arm) <= FEW and s > total / 2 for arm, s in zip(arms, shares, strict=True))


def _seeds(arm: dict[int, float]) -> str:
    listed = ", ".join(map(str, list(arm)[:6])) + (", …" if len(arm) > 6 else "")
    return f"{{{listed}}}"


def _by_seed(arms: list[list[float]], weights: list[float]) -> list[float]:
    """Return each seed's weighted sum over the arms."""
    return [
        math.fsum(weight * value for weight, value in zip(weights, row, strict=True))
        for row in zip(*arms, strict=True)
    ]


def _permutation(
    arms: list[list[float]], weights: list[float], *, paired: bool
) -> tuple[float | None, bool]:
    """Return a permutation p where labels can be exchanged: two opposite arms, or paired seeds."""
    if paired:
        test = permutation.sign_flip(_by_seed(arms, weights))
    elif len(arms) == 2 and math.isclose(weights[0], -weights[1]):
        test = permutation.two_sample(arms[0], arms[1])
    else:
        test = None
    return (None, False) if test is None else (test.p, test.exact)


def _spread(
    arms: list[list[float]], weights: list[float], statistics: Statistics, *, paired: bool
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], bool]:
    """Return (weights, standard deviations) for power; the study's guess where seeds are few."""
    guess = statistics.expected_std_pp
    if paired:
        rows = _by_seed(arms, weights)
        std = mean_and_std(rows)[1] if rows else None
        if std:
            return ((1.0,), (std,)), False
        return ((1.0,), (guess * math.hypot(*weights),)), True
    stds = [mean_and_std(arm)[1] if arm else None for arm in arms]
    if any(stds) and all(std is not None for std in stds):
        return (tuple(weights), tuple(std or 0.0 for std in stds)), False
    return (tuple(weights), tuple(guess for _ in weights)), True


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
