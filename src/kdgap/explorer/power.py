"""What n seeds can show of every gain and claim, by the spread that was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kdgap.explorer.snapshot import Snapshot
from kdgap.judge.analysis import Analysis, ClaimResult
from kdgap.judge.context import Context
from kdgap.judge.contrasts import judged_claims
from kdgap.judge.family import Judged
from kdgap.judge.gains import judged_gains
from kdgap.judge.kinds import kind_of
from kdgap.judge.kinds.above import Above

if TYPE_CHECKING:
    from kdgap.judge.entries import Gain

SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 80)
"""Seeds a side that power is shown for, beside those that a comparison has and needs."""
MOST_NEEDED = 200
"""Seeds that a comparison needs and that are shown: more than these nobody trains."""
MOST = 60
"""Comparisons whose power is shown, claims first: finding it takes a while."""


@dataclass(frozen=True)
class Question:
    """A test with its spread: what its power follows from.

    Attributes:
        says: the kind of claim; a gain is asked whether it is `above` zero.
        spread: weights and standard deviations of the arms, or of the differences where seeds are
            paired, in points.
        level: of its test, after correction.
    """

    says: str
    spread: tuple[Sequence[float], Sequence[float]]
    level: float

    def power(self, margin: float, n: int) -> float:
        """Return how often n seeds a side show it, in [0, 1]."""
        return kind_of(self.says).power(margin, self.spread, n, self.level)

    def smallest(self, n: int, target: float) -> float:
        """Return the smallest effect, or margin, that n seeds a side show with a power, in pp."""
        return kind_of(self.says).smallest(self.spread, n, target, self.level)


def _question(judged: Judged, says: str, level: float) -> Question | None:
    comparison = judged.comparison
    return None if comparison.point is None else Question(says, comparison.spread, level)


def claim_questions(context: Context) -> list[Question | None]:
    """Return the test of each claim; None where runs are missing."""
    alpha = context.settings.alpha
    return [
        _question(judged, claim.says, alpha / outcome.claims_in_family)
        for claim, judged, outcome in judged_claims(context, context.unpermuted)
    ]


def gain_questions(context: Context) -> list[Question | None]:
    """Return the test of each gain; None where runs are missing."""
    alpha = context.settings.alpha
    return [
        _question(judged, Above.name, alpha / max(judged.family, 1))
        for _, judged in judged_gains(context, context.unpermuted)
    ]


def power_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return for each claim and gain what n seeds a side can show.

    `power` is how often the test succeeds; `smallest` the effect (or, for claims that there is
    none, the margin) in points at which it succeeds with the power that the study asks for.
    """
    document: dict[str, Any] = {
        "version": snapshot.version,
        "seeds": list(SEEDS),
        "entries": [],
        "left_out": 0,
    }
    if snapshot.analysis is None:
        return document
    asked = [
        *(("claim", *pair) for pair in enumerate(claim_questions(snapshot.context))),
        *(("gain", *pair) for pair in enumerate(gain_questions(snapshot.context))),
    ]
    judged = [(kind, index, question) for kind, index, question in asked if question is not None]
    shown = judged[:MOST]
    entries = [_entry(snapshot.analysis, *query) for query in shown]
    seeds = _seeds(entries)
    statistics = snapshot.evidence.statistics
    for entry, (_, _, question) in zip(entries, shown, strict=True):
        entry["power"] = [question.power(statistics.smallest_effect_pp, n) for n in seeds]
        entry["smallest"] = [question.smallest(n, statistics.power) for n in seeds]
    return document | {"seeds": seeds, "entries": entries, "left_out": len(judged) - len(shown)}


def _entry(analysis: Analysis, kind: str, index: int, question: Question) -> dict[str, Any]:
    """Return what is asked, and how many seeds there are and would have to be."""
    judgement: Gain | ClaimResult
    if kind == "gain":
        judgement = analysis.gains[index]
        needed = judgement.seeds_needed
    else:
        judgement = analysis.contrasts[index]
        needed = judgement.seeds_needed_claim
    return {
        "kind": kind,
        "index": index,
        "words": asdict(kind_of(question.says).words(analysis.settings.smallest_effect_pp)),
        "needed": needed,
        "now": judgement.n_smallest,
        "guessed": judgement.spread_guessed,
    }


def _seeds(entries: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the seeds that power is shown for: what is promised of 33 seeds can be looked at."""
    own = {entry[key] for entry in entries for key in ("now", "needed")} - {None}
    return sorted({*SEEDS, *(n for n in own if 2 <= n <= MOST_NEEDED)})
