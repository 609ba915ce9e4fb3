"""Why a method shows no gain, most evidence first, and what to change: at most three causes.

What the networks' sizes and single seeds have to do with it is found here; the other facts are
those of `diagnosis.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from kdgap.judge.entries import Fact, Gain
from kdgap.judge.evidence import Arm, Evidence
from kdgap.numbers import interval, signed
from kdgap.spec.method_card import UNKNOWN
from kdgap.stats.contrast import mean_and_std, welch

MOST = 3
"""Causes that a reader is given; the others are in the table of all facts."""
WIDE = 4.0
"""Parameters of the teacher over the student's from which on its size is named as a cause."""
FAR = 3.5
"""Modified z-score from which on a value is called an outlier (Iglewicz and Hoaglin 1993)."""
LEAST = 4
"""Seeds of an arm of which one can be an outlier."""
MOST_SEEDS = 50
"""Seeds that are written out as a change."""
MIRZADEH = "Mirzadeh et al. 2020, Improved knowledge distillation via teacher assistant"
IGLEWICZ = "Iglewicz and Hoaglin 1993, How to detect and handle outliers"
ORDER = (
    *("seed", "fidelity", "gradient share", "soft targets", "schedule", "fit", "capacity"),
    *("teacher", "tuning", "power"),
)
"""Topics by what they rest on: these runs' own results and intervals, what was measured beside
them, and last what the design leaves open."""


def capacity_fact(gain: Gain, evidence: Evidence) -> Fact | None:
    """Return how much larger the teacher is than its student, and what a wide gap may mean."""
    teacher, student = (
        evidence.models.get(name or "", {}).get("parameters")
        for name in (gain.teacher, gain.student)
    )
    if not teacher or not student:
        return None
    ratio = teacher / student
    text = f"the teacher has {ratio:.1f} times the student's parameters"
    accuracy = None if gain.fidelity is None else gain.fidelity.teacher_accuracy
    if accuracy is not None and gain.baseline_mean_pp is not None:
        ahead = 100 * accuracy - gain.baseline_mean_pp
        text += f", and its accuracy is {signed(ahead)} pp against the plainly trained student's"
    if ratio < WIDE:
        return Fact(topic="capacity", fact=text)
    return Fact(
        topic="capacity",
        fact=text,
        reading="the gap may be too wide for so small a student to follow",
        remedy="a network between the two that learns first and then teaches (an assistant), a"
        " teacher that is stopped earlier, or another method",
        source=MIRZADEH,
    )


def seed_fact(
    values: Sequence[Mapping[int, float]], names: Sequence[str], gain: Gain, evidence: Evidence
) -> Fact | None:
    """Return the seed that lies farthest from the others of its arm, and what it does to the gain.

    Args:
        values: accuracy in percent by seed, of the method and of plain training.
        names: what the two are called.
        gain: what they make.
        evidence: for the level.
    """
    far: list[tuple[float, int, int]] = []
    for side, arm in enumerate(values):
        if len(arm) < LEAST:
            continue
        middle = median(arm.values())
        spread = median(abs(value - middle) for value in arm.values())
        if spread > 0:
            z = {seed: 0.6745 * abs(value - middle) / spread for seed, value in arm.items()}
            far += [(score, side, seed) for seed, score in z.items() if score > FAR]
    if not far or gain.gain_pp is None:
        return None
    score, side, seed = max(far)
    arm, confidence = values[side], evidence.statistics.confidence
    rest = [
        [v for at, v in each.items() if (n, at) != (side, seed)] for n, each in enumerate(values)
    ]
    without = welch(rest, [1.0, -1.0])
    text = (
        f"seed {seed} of {names[side]} ({arm[seed]:.2f} %) lies far from its others (mean"
        f" {mean_and_std(rest[side])[0]:.2f} %; modified z-score {score:.1f})"
    )
    if without is None:
        return Fact(topic="seed", fact=text)
    bounds = interval(without.interval(confidence))
    text += (
        f"; without it the gain would be {signed(without.value)} pp {bounds} by itself, in place of"
        f" {signed(gain.gain_pp)} pp {interval(gain.ci95_pp)}"
    )
    alpha = 1 - confidence
    before = gain.p is not None and gain.p <= alpha, gain.gain_pp > 0
    after = without.p() <= alpha, without.value > 0
    if before == after or (before[0], after[0]) == (False, False):
        return Fact(topic="seed", fact=text)
    return Fact(
        topic="seed",
        fact=text,
        reading="what can be concluded hangs on this one seed",
        remedy="look at its run, and train more seeds; leave none out because of its result",
        source=IGLEWICZ,
    )


def with_changes(facts: Sequence[Fact], arm: Arm, gain: Gain, evidence: Evidence) -> list[Fact]:
    """Return facts with what to change in the study's file, where a remedy is such a change."""
    if evidence.origin != "study":  # there is no file that could be changed
        return list(facts)
    return [
        replace(fact, change=_change(fact, arm, gain, evidence)) if fact.remedy else fact
        for fact in facts
    ]


def _change(fact: Fact, arm: Arm, gain: Gain, evidence: Evidence) -> str | None:
    """Return `KEY=VALUE` for `--set`."""
    epochs = arm.runs[0].epochs
    card = evidence.methods.get(arm.slot.method, UNKNOWN)
    if fact.topic == "gradient share" and card.mixed_by:
        weak = "hardly pulls" in (fact.reading or "")
        return _other(arm, card.mixed_by, lambda x: (x + 1) / 2 if weak else x / 2)
    if fact.topic == "soft targets" and card.softened_by:
        hard = "disguise" in (fact.reading or "")
        return _other(arm, card.softened_by, lambda x: 2 * x if hard else x / 2)
    if fact.topic in ("schedule", "fit", "fidelity") and epochs:
        return f"recipe.epochs={2 * epochs}"
    if fact.topic == "power" and gain.seeds_needed and gain.seeds_needed <= MOST_SEEDS:
        return f"finals.seeds=[{','.join(map(str, range(gain.seeds_needed)))}]"
    if fact.topic in ("capacity", "teacher") and epochs and epochs > 1:
        return f"teachers.recipe.epochs={epochs // 2}"
    return None


def _other(arm: Arm, name: str, changed: Callable[[float], float]) -> str | None:
    value = arm.parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"methods.{arm.slot.method}.{name}=[{value:g},{changed(value):g}]"


def causes(gain: Gain) -> tuple[Fact, ...]:
    """Return at most `MOST` facts that have a remedy, by what they rest on."""
    named = [fact for fact in gain.diagnosis if fact.remedy]
    place = {topic: number for number, topic in enumerate(ORDER)}
    return tuple(sorted(named, key=lambda fact: place.get(fact.topic, len(place)))[:MOST])
