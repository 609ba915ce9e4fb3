"""Why a method shows no gain, most evidence first, and what to change: at most three causes.

What the networks' sizes, single seeds and the number of seeds have to do with it is found here; the
other facts are those of `diagnosis.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from statistics import median

from kdgap.judge.analysis import Settings
from kdgap.judge.entries import Fact, Gain
from kdgap.judge.evidence import Arm, Evidence
from kdgap.numbers import decimals, interval, level, seeds, signed
from kdgap.stats.contrast import mean_and_std, paired, welch
from kdgap.stats.power import contrast_power, paired_contrast_power

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
COLAS = "Colas et al. 2018, How many random seeds?"
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
        values: accuracy in percent by seed, of the method and of plain training: of the seeds that
            the gain counts.
        names: what the two are called.
        gain: what they make.
        evidence: for the level and the test.
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
    by_seed = evidence.statistics.test == "paired"  # half of a pair is none
    rest = [
        [v for at, v in each.items() if at != seed or not (by_seed or n == side)]
        for n, each in enumerate(values)
    ]
    without = (paired if by_seed else welch)(rest, [1.0, -1.0])
    text = (
        f"seed {seed} of {names[side]} ({decimals(arm[seed])} %) lies far from its others (mean"
        f" {decimals(mean_and_std(rest[side])[0])} %; modified z-score {score:.1f})"
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
        return [replace(fact, change=None) for fact in facts]
    return [
        replace(fact, change=_change(fact, arm, gain, evidence)) if fact.remedy else fact
        for fact in facts
    ]


def _change(fact: Fact, arm: Arm, gain: Gain, evidence: Evidence) -> str | None:
    """Return what a remedy changes in the study's file, as `KEY=VALUE` for `--set`."""
    if fact.change:
        return _with_selection(fact.change, evidence)
    epochs = arm.epochs
    if fact.topic in ("schedule", "fit", "fidelity") and epochs:
        return f"recipe.epochs={2 * epochs}"
    if fact.topic == "power" and gain.seeds_needed and gain.seeds_needed <= MOST_SEEDS:
        return _more_seeds(arm, gain.seeds_needed, evidence)
    if fact.topic == "capacity":  # nobody stops a teacher that was not trained here
        trained = {run.id: run.epochs for run in evidence.runs}
        taught = trained.get(arm.runs[0].teacher or "")
        return f"teachers.recipe.epochs={taught // 2}" if taught and taught > 1 else None
    return None


def _with_selection(change: str, evidence: Evidence) -> str | None:
    """Return a change with the seeds that select, where the study has none for a grid."""
    if evidence.tunings:
        return change
    if evidence.chosen_on == "test":  # and no images to choose on
        return None
    tested = {run.seed for run in evidence.runs}
    free = next(seed for seed in count(1000) if seed not in tested)
    return f"{change} --set selection.seeds=[{free}]"


def _more_seeds(arm: Arm, needed: int, evidence: Evidence) -> str | None:
    """Return as many final seeds as are needed: those that there are, and the next ones."""
    seeds = sorted({run.seed for run in arm.runs})
    if needed <= len(seeds):
        return None
    taken = {*seeds, *(seed for tuning in evidence.tunings for seed in tuning.seeds)}
    free = (seed for seed in count(seeds[0]) if seed not in taken)
    return f"finals.seeds=[{','.join(map(str, [*seeds, *islice(free, needed - len(seeds))]))}]"


def other_value(arm: Arm, name: str | None, changed: Callable[[float], float]) -> str | None:
    """Return a grid of a hyper-parameter's value and another, as `KEY=VALUE` for `--set`."""
    value = arm.parameters.get(name or "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"methods.{arm.slot.method}.{name}=[{value:g},{changed(value):g}]"


def power_fact(arm: Arm, plain: Arm | None, gain: Gain, settings: Settings) -> Fact | None:
    """Return how often these seeds find the smallest effect of interest."""
    if plain is None or gain.n_smallest < 2:
        return None
    weights = settings.primary
    arms = [list(side.by_seed(weights).values()) for side in (arm, plain)]
    stds = [mean_and_std(values)[1] or 0.0 for values in arms]
    if not any(stds):
        return None
    margin, n = settings.smallest_effect_pp, gain.n_smallest
    alpha = settings.alpha / max(gain.family, 1)
    if settings.test == "paired":
        std = gain.se_pp * math.sqrt(n) if gain.se_pp else math.hypot(*stds)
        power = paired_contrast_power(margin, std, n, alpha)
    else:
        power = contrast_power(margin, (1.0, -1.0), stds, n, alpha)
    text = (
        f"with {n} seeds and this spread ({decimals(stds[0])} and {decimals(stds[1])} pp),"
        f" a true gain of {margin:g} pp would be found with {level(round(power, 3))} power after"
        " correction"
    )
    # What was shown to be equivalent, or a harm, does not help unseen, whatever the power.
    if power < settings.power and gain.verdict == "inconclusive":
        needed, reading = gain.seeds_needed, f"{gain.label} may help unseen"
        remedy = f"{seeds(needed)} seeds a side" if needed else "a larger effect of interest"
        return Fact(topic="power", fact=text, reading=reading, remedy=remedy, source=COLAS)
    return Fact(topic="power", fact=text)


def causes(gain: Gain) -> tuple[Fact, ...]:
    """Return at most `MOST` facts that have a remedy, by what they rest on."""
    named = [fact for fact in gain.diagnosis if fact.remedy]
    place = {topic: number for number, topic in enumerate(ORDER)}
    return tuple(sorted(named, key=lambda fact: place.get(fact.topic, len(place)))[:MOST])
