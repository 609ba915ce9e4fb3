"""Which method for a student: plain training and every method ranked, and what to use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from kdgap.judge.analysis import Level
from kdgap.judge.baselines import named_apart
from kdgap.judge.claims import weighted
from kdgap.judge.comparison import Comparison, compare
from kdgap.judge.context import Context
from kdgap.judge.evidence import Arm, Evidence
from kdgap.judge.family import Judged, judge
from kdgap.judge.measures import Interval
from kdgap.notice import Notice
from kdgap.numbers import interval, level, seeds, signed
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import PLAIN
from kdgap.stats.contrast import Estimate
from kdgap.stats.ranking import beside_the_best, improvement, improvement_interval
from kdgap.stats.verdict import Verdict
from kdgap.text import settings_text

LISTED = 4
"""Methods that a sentence names; of more it says how many."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Plain training or a method, with one student.

    Attributes:
        name: what people call it, with its teacher and settings where these tell it from others.
        teacher, method, parameters: what it is; no teacher for plain training.
        level: its accuracy over seeds.
        over_plain_pp, over_plain_ci95_pp: minus plain training, by itself.
        over_best_pp: the least of its differences from the others: its mean minus the best of
            theirs, of a paired test over the seeds that the two share.
        over_best_ci95_pp: the same, an interval that holds for all places of all students at once.
        may_be_best: whether that does not exclude that it is the best.
        improves: in how many pairs of seeds it beats plain training, in [0, 1]; with its interval.
        cost: computation of a training step over that of plain training, by FLOPs of student and
            teacher; what a method's own loss takes is left out.
    """

    name: str
    teacher: str | None
    method: str
    parameters: Mapping[str, object]
    configuration: str
    level: Level
    over_plain_pp: float | None
    over_plain_ci95_pp: Interval | None
    over_best_pp: float | None
    over_best_ci95_pp: Interval | None
    may_be_best: bool
    improves: float | None
    improves_ci95: Interval | None
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Pairwise:
    """One place minus another, by their numbers; corrected (Holm) over all pairs of the student.

    `verdict_text` says where an equivalence is one before correction alone.
    """

    first: int
    second: int
    difference_pp: float | None
    ci95_pp: Interval | None
    p: float | None
    p_holm: float | None
    n_smallest: int
    verdict: Verdict
    verdict_text: str
    seeds_needed: int | None
    improves: float | None
    improves_ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Everything that was trained of one student, the highest mean first.

    Attributes:
        name: the student, with its recipe where it was trained by several.
        recommendation: what to use, how sure that is, what it costs, and what would settle it.
        settled: whether one place is shown to be the best.
        flags: what has to be known of it.
    """

    name: str
    student: str
    confidence: float
    places: tuple[Place, ...]
    pairs: tuple[Pairwise, ...]
    recommendation: str
    settled: bool
    flags: tuple[Notice, ...]


def rankings(context: Context) -> list[Ranking]:
    """Return a ranking for every student with a method and plain training, small students first."""
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in context.finals:
        plain = context.baseline(arm)
        if plain is not None and context.values(arm) and context.values(plain):
            groups.setdefault((arm.slot.student, plain.configuration), [plain]).append(arm)
    names = named_apart([context.level(plain) for plain, *_ in groups.values()])
    return [
        _ranking(context, name, *arms, students=len(groups))
        for name, arms in zip(names, groups.values(), strict=True)
    ]


def _ranking(context: Context, name: str, plain: Arm, *methods: Arm, students: int) -> Ranking:
    evidence = context.evidence
    own = [(context.level(arm), arm) for arm in (plain, *methods)]
    # Of equal means plain training stands first: it is the simplest.
    own.sort(key=lambda pair: -(pair[0].mean_pp or 0.0))
    levels, arms = [shown for shown, _ in own], [arm for _, arm in own]
    compared = {
        (i, j): compare(
            [weighted(arms[i], 1.0), weighted(arms[j], -1.0)], evidence, context.unpermuted
        )
        for i, j in combinations(range(len(arms)), 2)
    }
    judged = dict(zip(compared, judge([*compared.values()], evidence.statistics), strict=True))
    pairs = tuple(_pairwise(context, *numbers, arms, judged[numbers]) for numbers in compared)
    # So that what is said of the best holds for all students of the study at once.
    each = 1 - (1 - evidence.statistics.confidence) / students
    beside = _beside(compared, len(arms), each)
    base = next(place for place, arm in enumerate(arms) if arm is plain)
    places = tuple(
        _place(
            context, arms, levels[number], number, base, pairs, beside[number] if beside else None
        )
        for number in range(len(arms))
    )
    words, settled = _recommended(places, pairs, base, evidence)
    return Ranking(
        name=name,
        student=plain.slot.student,
        confidence=evidence.statistics.confidence,
        places=places,
        pairs=pairs,
        recommendation=words,
        settled=settled,
        flags=tuple(dict.fromkeys(f for c in compared.values() for f in c.flags)),
    )


def _beside(
    compared: Mapping[tuple[int, int], Comparison], arms: int, confidence: float
) -> list[Interval] | None:
    """Return each arm beside the best of the others; None where a pair has no interval."""
    both: dict[tuple[int, int], Estimate] = {}
    for (i, j), comparison in compared.items():
        estimate = comparison.estimate
        if estimate is None:
            return None
        both[i, j] = estimate
        both[j, i] = Estimate(-estimate.value, estimate.se, estimate.df)
    return beside_the_best(both, arms, confidence)


class _Over(NamedTuple):
    """A place minus another; nothing minus itself."""

    value: float | None = None
    ends: Interval | None = None
    share: float | None = None
    share_ends: Interval | None = None


def _place(
    context: Context,
    arms: Sequence[Arm],
    own: Level,
    number: int,
    base: int,
    pairs: Sequence[Pairwise],
    beside: Interval | None,
) -> Place:
    """Return a place; `base` is that of plain training."""
    arm = arms[number]
    overs = {
        pair.first + pair.second - number: _over(pair, number)
        for pair in pairs
        if number in (pair.first, pair.second)
    }
    over = overs.get(base, _Over())
    values = [other.value for other in overs.values() if other.value is not None]
    return Place(
        name=_name(arm, arms, context.evidence),
        teacher=arm.slot.teacher,
        method=arm.slot.method,
        parameters=arm.parameters,
        configuration=arm.configuration,
        level=own,
        over_plain_pp=over.value,
        over_plain_ci95_pp=over.ends,
        over_best_pp=min(values) if len(values) == len(overs) else None,
        over_best_ci95_pp=beside,
        may_be_best=beside is None or beside[1] > 0,
        improves=over.share,
        improves_ci95=over.share_ends,
        cost=_cost(arm, context.evidence),
    )


def _over(pair: Pairwise, number: int) -> _Over:
    """Return a place minus the other of its pair, whichever of the two stands first."""
    value, ends = pair.difference_pp, pair.ci95_pp
    share, share_ends = pair.improves, pair.improves_ci95
    if pair.first == number:
        return _Over(value, ends, share, share_ends)
    return _Over(
        None if value is None else -value,
        ends and (-ends[1], -ends[0]),
        None if share is None else 1 - share,
        share_ends and (1 - share_ends[1], 1 - share_ends[0]),
    )


def _improves(context: Context, arm: Arm, other: Arm) -> tuple[float | None, Interval | None]:
    values, others = context.values(arm), context.values(other)
    if not values or not others:
        return None, None
    share = improvement(values, others)
    if min(len(values), len(others)) < 2:
        return share, None
    confidence = context.evidence.statistics.confidence
    return share, improvement_interval(share, len(values), len(others), confidence)


def _pairwise(context: Context, i: int, j: int, arms: Sequence[Arm], judged: Judged) -> Pairwise:
    numbers = judged.numbers(context.evidence.statistics)
    share, share_ends = _improves(context, arms[i], arms[j])
    return Pairwise(
        first=i,
        second=j,
        difference_pp=judged.comparison.point,
        ci95_pp=numbers.ci95_pp,
        p=numbers.p,
        p_holm=numbers.p_holm,
        n_smallest=numbers.n_smallest,
        verdict=numbers.verdict,
        verdict_text=numbers.verdict_text,
        seeds_needed=numbers.seeds_needed,
        improves=share,
        improves_ci95=share_ends,
    )


def _name(arm: Arm, arms: Sequence[Arm], evidence: Evidence) -> str:
    """Return a name that tells an arm from its rivals, and says no more."""
    if arm.slot.method == PLAIN and arm.slot.teacher is None:
        return "plain training"
    name = evidence.label(arm.slot.method)
    teachers = {other.slot.teacher for other in arms if other.slot.teacher}
    if len(teachers) > 1 and arm.slot.teacher:
        name += f" from {arm.slot.teacher}"
    twins = [other for other in arms if other.slot == arm.slot]
    return f"{name} ({settings_text(arm.parameters)})" if len(twins) > 1 else name


def _cost(arm: Arm, evidence: Evidence) -> float | None:
    """Return forward and backward pass of the student with the teacher's forward pass, over plain.

    A backward pass is counted as two forward passes.
    """
    if arm.slot.teacher is None:
        return 1.0
    student, teacher = (
        evidence.models.get(name, {}).get("flops") for name in (arm.slot.student, arm.slot.teacher)
    )
    return 1 + teacher / (3 * student) if student and teacher else None


def _recommended(
    places: Sequence[Place], pairs: Sequence[Pairwise], base: int, evidence: Evidence
) -> tuple[str, bool]:
    """Return what to use in one line, and whether that is settled."""
    best, plain = places[0], places[base]
    sure = level(evidence.statistics.confidence)
    if best.over_best_ci95_pp is None:
        return (
            f"Nothing can be recommended: {best.name} has the highest mean, and an interval needs"
            " two seeds of each that vary.",
            False,
        )
    candidates = [place for place in places if place.may_be_best]
    if len(candidates) == 1:
        (winner,) = candidates
        rest = "each method" if winner is plain else "all others"
        words = f"Use {winner.name}: shown to be better than {rest} ({sure})"
        return f"{words}{_gained(winner)}.", True
    settle = _settle(places, pairs, evidence.statistics)
    if plain.may_be_best:
        if best is plain:
            return (
                "Use plain training: no method has a higher mean, and none is shown to be"
                f" better.{settle}",
                False,
            )
        return (
            f"Not settled: plain training may be the best, too. Highest mean: {best.name}"
            f"{_gained(best)}.{settle}",
            False,
        )
    names = [place.name for place in candidates]
    listed = ", ".join(names[:LISTED]) + (
        f" or {len(names) - LISTED} more" if len(names) > LISTED else ""
    )
    costs = [place for place in candidates if place.cost is not None]
    cheap = min(costs, key=lambda place: place.cost or 0.0, default=None)
    cheapest = f"; cheapest to train: {cheap.name}" if cheap and cheap.cost != best.cost else ""
    return (
        f"Use one of {listed}: plain training is shown not to be the best ({sure}). Highest mean:"
        f" {best.name}{_gained(best)}{cheapest}.{settle}",
        False,
    )


def _gained(place: Place) -> str:
    if place.over_plain_pp is None:
        return ""
    words = f", {signed(place.over_plain_pp)} pp {interval(place.over_plain_ci95_pp)} over plain"
    return words + (f", {place.cost:.1f} times its computation" if place.cost else "")


def _settle(places: Sequence[Place], pairs: Sequence[Pairwise], statistics: Statistics) -> str:
    """Return how many seeds of each tell every two candidates apart, after correction."""
    between = [p for p in pairs if places[p.first].may_be_best and places[p.second].may_be_best]
    counts = [pair.seeds_needed for pair in between if pair.seeds_needed is not None]
    margin = f"{statistics.smallest_effect_pp:g} pp"
    if len(counts) < len(between):
        return f" No affordable number of seeds would tell {margin} apart."
    needed, have = max(counts), min(pair.n_smallest for pair in between)
    apart = f"{seeds(needed)} seeds of each to tell {margin} apart"
    if needed > have:
        return f" It would take {apart}."
    power = level(statistics.power)
    return f" It takes {apart} with {power} power; there are {have}, and they did not."
