"""Claims as contrasts, and ablations: differences that were declared, each judged in its family."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdgap.judge.claims import Weighted, weighted_arms
from kdgap.judge.comparison import Comparison, Judged, View, compare, judge, with_flags
from kdgap.judge.context import Context, ids
from kdgap.judge.flags import arm_flags
from kdgap.spec.study import Claim, Statistics
from kdgap.stats import power
from kdgap.stats.multiple import holm

if TYPE_CHECKING:
    from kdgap.judge.evidence import Arm

JUDGED_OTHERWISE = ("post hoc: statistics", "post hoc: primary")
"""Marks of evidence that is judged in another way than was locked."""
_GRAVE = ("shared-selection-seed", "chosen-on-test", "one-teacher")


def judged_claims(context: Context, view: View) -> list[tuple[Claim, Judged, dict[str, Any]]]:
    """Return every claim under one way of looking, with what became of it."""
    evidence = context.evidence
    claims = evidence.claims
    made = [
        compare(weighted_arms(claim, evidence, context.arms), evidence, view) for claim in claims
    ]
    judged = judge(made, evidence.statistics)
    keys = [(one.comparison.key, c.says) for c, one in zip(claims, judged, strict=True)]
    own = {key: _own_p(c, one, context) for key, c, one in zip(keys, claims, judged, strict=True)}
    adjusted = dict(zip(own, holm(list(own.values())), strict=True))
    alpha, found = float(context.settings["alpha"]), []
    for claim, one, key in zip(claims, judged, keys, strict=True):
        outcome = {
            "p_claim": own[key],
            "p_claim_holm": adjusted[key],
            "claims_in_family": len(own),
            "outcome": _outcome(claim, one, adjusted[key], alpha),
            "seeds_needed_claim": _own_seeds(claim, one, evidence.statistics, alpha / len(own)),
        }
        found.append((claim, one, outcome))
    return found


def _own_p(claim: Claim, judged: Judged, context: Context) -> float | None:
    """Return the p of the test that a claim needs.

    `above` needs a difference, `not_below` that it is no worse than minus the smallest effect of
    interest (non-inferiority, one-sided), `nothing` that it is smaller than that in both
    directions (TOST).
    """
    estimate, margin = judged.comparison.estimate, context.evidence.statistics.smallest_effect_pp
    if estimate is None:
        return None
    if claim.says == "above":
        return estimate.p()
    return estimate.p_above(-margin) if claim.says == "not_below" else estimate.p_equivalent(margin)


def _own_seeds(claim: Claim, judged: Judged, statistics: Statistics, level: float) -> int | None:
    """Return how many seeds an arm give the test that a claim needs its power.

    `above` finds a true sum of the smallest effect of interest; `not_below` and `nothing` are shown
    where the true sum is zero. One-sided at `level` is two-sided at twice that: the other side is
    as good as never found.
    """
    made, margin, target = judged.comparison, statistics.smallest_effect_pp, statistics.power
    if claim.says == "above" or made.point is None:
        return judged.needed["seeds_needed"]
    weights, stds = made.spread
    if claim.says == "not_below":
        return power.contrast_seeds_needed(margin, weights, stds, target, 2 * level)
    return power.equivalence_seeds_needed(margin, weights, stds, target, level)


def _outcome(claim: Claim, judged: Judged, adjusted: float | None, alpha: float) -> str:
    """Return what became of a claim; `established` is only said of a corrected result."""
    verdict, shown = judged.verdict, adjusted is not None and adjusted <= alpha
    if claim.says == "above":
        if verdict == "harm":
            return "contradicted"
        return "established" if verdict == "gain" and shown else "not established"
    if shown:
        return "established"
    against = ("harm",) if claim.says == "not_below" else ("gain", "harm")
    return "contradicted" if verdict in against else "not established"


def contrast_entries(context: Context) -> list[dict[str, Any]]:
    """Return `contrasts[]` of the analysis."""
    return [
        _entry(context, claim, judged, outcome)
        for claim, judged, outcome in judged_claims(context, context.primary)
    ]


def _entry(
    context: Context, claim: Claim, judged: Judged, outcome: dict[str, Any]
) -> dict[str, Any]:
    made = judged.comparison
    flags = [
        flag
        for term in made.terms
        if term.arm is not None and term.arm.slot.role == "final"
        for flag in arm_flags(term.arm, context.evidence)
        if flag.code in _GRAVE
    ]
    return {
        "name": claim.name,
        "text": claim.text,
        "says": claim.says,
        "measure": claim.measure,
        "estimate_pp": made.point,
        "n": _fewest(made, 1),
        "n_baseline": _fewest(made, -1),
        **context.numbers(with_flags(judged, flags)),
        **outcome,
        "post_hoc": _is_post_hoc(claim, context),
        "terms": [
            {"slot": term.text, "weight": term.weight, "n": n, "runs": ids(term.arm)}
            for term, n in zip(made.terms, made.ns, strict=True)
        ],
    }


def _fewest(made: Comparison, sign: int) -> int | None:
    """Return the seeds of the smallest arm on the plus or the minus side; None without an arm."""
    sides = zip(made.terms, made.ns, strict=True)
    return min((n for term, n in sides if term.weight * sign > 0), default=None)


def _is_post_hoc(claim: Claim, context: Context) -> bool:
    """Whether a claim, or how it is judged, was not locked before the first test."""
    locked, marks = context.evidence.locked_claims, context.evidence.marks
    if locked is None or claim.model_dump(mode="json") not in locked:
        return True
    return any(mark in marks for mark in JUDGED_OTHERWISE)


def ablation_entries(context: Context) -> list[dict[str, Any]]:
    """Return `ablations[]` of the analysis: the changed arm minus what it was changed from."""
    arms: dict[str, dict[str, Arm]] = {}
    for arm in context.of("ablation"):
        name, _, side = arm.slot.variant.partition(": ")
        arms.setdefault(name, {})[side] = arm
    made = {}
    for name, sides in arms.items():
        terms = [
            Weighted(sides.get(side), weight, f"{name}: {side}")
            for side, weight in (("changed", 1.0), ("base", -1.0))
        ]
        made[name] = compare(terms, context.evidence, context.primary)
    judged = judge(list(made.values()), context.evidence.statistics)
    entries = []
    for name, one in zip(made, judged, strict=True):
        sides, slot = arms[name], next(iter(arms[name].values())).slot
        entries.append(
            {
                "name": name,
                "slot": replace(slot, variant="").text,
                "change": context.evidence.changes.get(name, ""),
                **{
                    side: context.level(sides[side]) if side in sides else None
                    for side in ("base", "changed")
                },
                "n": one.comparison.ns[0],
                "n_baseline": one.comparison.ns[1],
                "effect_pp": one.comparison.point,
                **context.numbers(one),
            }
        )
    return entries
