"""How closely students follow their teacher, with intervals; accuracy does not imply it."""

from typing import Any

from kdgap.judge.evidence import Arm, Evidence
from kdgap.stats.contrast import mean_and_std
from kdgap.stats.proportion import mean_interval, wilson

MEASURES = ("top1_agreement", "kl_t1", "kl_t4", "ece")


def fidelity_of(
    arm: Arm, plain: Arm | None, evidence: Evidence, weights: str
) -> dict[str, Any] | None:
    """Return agreement, KL at T = 1 and 4 and calibration error of an arm; None without any.

    Agreement and calibration error are shares of one, KL is in nats. Intervals are of the mean
    over seeds. `baseline` has the same of the plainly trained student against the same teacher.
    """
    confidence = evidence.statistics.confidence
    own = [(run.seed, run.test) for run in arm.runs]
    found = {name: _over_seeds(own, name, weights, confidence) for name in MEASURES}
    if not any(found.values()):
        return None
    plain_of = [(run.seed, run.baseline_test) for run in arm.runs]
    baseline = {name: _over_seeds(plain_of, name, weights, confidence) for name in MEASURES}
    teachers = [run.teacher_accuracy for run in arm.runs if run.teacher_accuracy is not None]
    return {
        **found,
        "baseline": baseline if any(baseline.values()) else None,
        "teacher_accuracy": mean_and_std(teachers)[0] if teachers else None,
        "per_class_accuracy": _per_class(arm, weights),
        "per_class_baseline": None if plain is None else _per_class(plain, weights),
    }


def _over_seeds(
    tests: list[tuple[int, dict[str, dict[str, Any]]]], name: str, weights: str, confidence: float
) -> dict[str, Any] | None:
    """Return mean and interval over seeds; a seed's value is the mean over its teachers."""
    by_seed: dict[int, list[float]] = {}
    for seed, test in tests:
        value = test.get(weights, {}).get(name)
        if value is not None:
            by_seed.setdefault(seed, []).append(float(value))
    if not by_seed:
        return None
    values = [mean_and_std(measured)[0] for measured in by_seed.values()]
    mean, std = mean_and_std(values)
    interval = mean_interval(values, confidence)
    if interval is not None and name in ("top1_agreement", "ece"):
        interval = (max(0.0, interval[0]), min(1.0, interval[1]))
    return {
        "n": len(values),
        "mean": mean,
        "std": std,
        "ci95": None if interval is None else list(interval),
    }


def _per_class(arm: Arm, weights: str) -> dict[str, float] | None:
    """Return mean accuracy by class, in [0, 1], over the runs that have it."""
    found: dict[str, list[float]] = {}
    for run in arm.runs:
        for name, value in (run.test.get(weights, {}).get("per_class_acc") or {}).items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: mean_and_std(values)[0] for name, values in found.items()} or None


def accuracy_interval(share: float, images: int | None, confidence: float) -> list[float] | None:
    """Return Wilson's interval of one network's accuracy over the draw of test images."""
    return None if not images else list(wilson(share, images, confidence))
