"""How closely students follow their teacher, with intervals; accuracy does not imply it."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from kdgap.judge.evidence import Arm, Evidence, Run
from kdgap.judge.measures import (
    ClassDifference,
    Difference,
    Differences,
    Fidelity,
    Interval,
    Measure,
    Measures,
)
from kdgap.judge.recorded import UNTESTED
from kdgap.stats.contrast import Estimate, mean_and_std, point, welch
from kdgap.stats.multiple import bonferroni_confidence
from kdgap.stats.proportion import mean_interval, wilson

MEASURES = ("top1_agreement", "kl_t1", "kl_t4", "ece")
SHARES = ("top1_agreement", "ece")
"""Measures that lie in [0, 1], as accuracy by class does; KL is in nats."""

TOWARDS = {"top1_agreement": 1, "kl_t1": -1, "kl_t4": -1}
"""Measures of following the teacher, with the sign of coming closer to it."""

Values = dict[str, list[float]]
"""One value a seed of each measure or class."""


def fidelity_of(arm: Arm, plain: Arm | None, evidence: Evidence, weights: str) -> Fidelity | None:
    """Return agreement, KL at T = 1 and 4 and calibration error of an arm; None without any.

    Agreement, calibration error and accuracy by class are shares of one, KL is in nats. Intervals
    are of the mean over seeds, differences are Welch's of seeds. `baseline` has the same measures
    of the plainly trained student against the same teacher, `difference` the arm minus it.
    """
    confidence = evidence.statistics.confidence
    runs = arm.counted(weights)
    own = _by_seed((run.seed, run.test.get(weights, UNTESTED).measures) for run in runs)
    if not own:
        return None
    beside = _by_seed((run.seed, run.baseline_test.get(weights, UNTESTED).measures) for run in runs)
    teachers = [run.teacher_accuracy for run in runs if run.teacher_accuracy is not None]
    plain_runs = [] if plain is None else plain.counted(weights)
    classes, plain_classes = _by_class(runs, weights), _by_class(plain_runs, weights)

    return Fidelity(
        **_measured(own, confidence),
        baseline=Measures(**_measured(beside, confidence)) if beside else None,
        difference=_differences(own, beside, confidence),
        teacher_accuracy=mean_and_std(teachers)[0] if teachers else None,
        per_class_accuracy=_shares(classes, confidence) or None,
        per_class_baseline=_shares(plain_classes, confidence) or None,
        per_class_difference=_class_differences(classes, plain_classes, confidence),
    )


def classes_of(arm: Arm, evidence: Evidence) -> dict[str, Measure]:
    """Return each class's accuracy over seeds, in [0, 1]."""
    values = _by_class(arm.counted(evidence.primary), evidence.primary)
    return _shares(values, evidence.statistics.confidence)


def class_differences(
    arm: Arm, other: Arm, evidence: Evidence
) -> dict[str, ClassDifference] | None:
    """Return an arm's accuracy by class minus another's, each with its intervals; None without."""
    sides = [_by_class(side.counted(evidence.primary), evidence.primary) for side in (arm, other)]
    return _class_differences(sides[0], sides[1], evidence.statistics.confidence)


def _by_class(runs: Iterable[Run], weights: str) -> Values:
    return _by_seed((run.seed, run.test.get(weights, UNTESTED).by_class) for run in runs)


def _by_seed(measured: Iterable[tuple[int, Mapping[str, float | None]]]) -> Values:
    """Return the values of each name that has any; a seed's is the mean over its teachers."""
    by_name: dict[str, dict[int, list[float]]] = {}
    for seed, values in measured:
        for name, value in values.items():
            if value is not None:
                by_name.setdefault(name, {}).setdefault(seed, []).append(float(value))
    return {name: [fmean(many) for many in seeds.values()] for name, seeds in by_name.items()}


def _measured(values: Values, confidence: float) -> dict[str, Measure | None]:
    """Return the fields of `Measures`; None where one was not recorded."""
    return {
        name: _summary(values[name], confidence, share=name in SHARES) if name in values else None
        for name in MEASURES
    }


def _shares(values: Values, confidence: float) -> dict[str, Measure]:
    return {name: _summary(own, confidence, share=True) for name, own in values.items()}


def _summary(values: Sequence[float], confidence: float, *, share: bool) -> Measure:
    mean, std = mean_and_std(values)
    interval = mean_interval(values, confidence)
    ends = None if interval is None else _clipped(interval, 0.0 if share else None)
    return Measure(n=len(values), mean=mean, std=std, ci95=ends)


def _clipped(interval: Interval, lowest: float | None) -> Interval:
    """Return an interval without what no share (from 0) or difference of shares (-1) can be."""
    if lowest is None:
        return interval
    return max(lowest, interval[0]), min(1.0, interval[1])


def _differences(own: Values, plain: Values, confidence: float) -> Differences | None:
    """Return each measure of the arm minus the plainly trained student's; None without any."""
    both = {name: [own[name], plain[name]] for name in MEASURES if name in own and name in plain}
    if not both:
        return None
    differences = dict[str, Difference | None].fromkeys(MEASURES)
    for name, arms in both.items():
        ends = _interval(welch(arms, (1, -1)), confidence, share=name in SHARES)
        differences[name] = Difference(difference=point(arms, (1, -1)), ci95=ends)
    return Differences(**differences)


def closeness(fidelity: Fidelity) -> dict[str, int]:
    """Return whether an arm is closer to the teacher than the plainly trained student.

    By each measure whose difference has an interval: 1 closer and -1 further where the interval
    excludes zero, 0 where it does not.
    """
    signs = {}
    for name, towards in TOWARDS.items():
        between = fidelity.difference and fidelity.difference.named(name)
        if between and between.ci95:
            low, high = between.ci95
            signs[name] = towards * ((low > 0) - (high < 0))
    return signs


def _class_differences(
    own: Values, plain: Values, confidence: float
) -> dict[str, ClassDifference] | None:
    """Return the difference of each class that both arms have; None without any.

    The simultaneous interval holds for all these classes at once (Dunn 1961): among a hundred
    classes, five intervals of 95 % miss zero where nothing differs.
    """
    both = {name: [values, plain[name]] for name, values in own.items() if name in plain}
    differences = {}
    for name, arms in both.items():
        estimate = welch(arms, (1, -1))
        together = bonferroni_confidence(confidence, len(both))
        differences[name] = ClassDifference(
            difference=point(arms, (1, -1)),
            ci95=_interval(estimate, confidence, share=True),
            ci95_simultaneous=_interval(estimate, together, share=True),
        )
    return differences or None


def _interval(estimate: Estimate | None, confidence: float, *, share: bool) -> Interval | None:
    if estimate is None:
        return None
    return _clipped(estimate.interval(confidence), -1.0 if share else None)


def accuracy_interval(share: float, images: int | None, confidence: float) -> Interval | None:
    """Return Wilson's interval of one network's accuracy over the draw of test images."""
    return None if not images else wilson(share, images, confidence)
