"""Why is a student no better? What the records show, and the usual remedy with its source.

Facts first. A remedy is only named where a fact points to it, and it is advice, not a finding.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from kdgap.judge.evidence import Arm, Evidence, Run
from kdgap.judge.flags import tuning_of
from kdgap.judge.words import level, method_name, signed
from kdgap.stats.contrast import mean_and_std
from kdgap.stats.power import contrast_power, paired_contrast_power

WEAK_SHARE, STRONG_SHARE = 0.1, 0.95
"""Below the one, distillation hardly moves the student; above the other, the labels hardly do."""
LITTLE_TO_TEACH_PP = 1.0
HARD_TARGET_ENTROPY = 0.1
"""Share of the largest possible entropy below which soft targets are labels in disguise."""
STILL_RISING_PP = 0.5
FITTED = 0.995

Fact = dict[str, Any]


def diagnose(
    arm: Arm, plain: Arm | None, evidence: Evidence, gain: dict[str, Any], settings: dict[str, Any]
) -> list[Fact]:
    """Return facts on why a cell shows no gain: `topic`, `fact`, `remedy` and `source` or None."""
    runs = [run for run in arm.runs if run.state == "done"]
    if not runs:
        return []
    found = [
        _gradients(runs),
        _teacher(gain),
        _fitting(runs),
        _following(gain),
        _soft_targets(runs, gain),
        _length(runs),
        _tuning(arm, evidence),
        _power(arm, plain, gain, settings),
    ]
    return [fact for fact in found if fact is not None]


def _fact(topic: str, fact: str, remedy: str | None = None, source: str | None = None) -> Fact:
    return {"topic": topic, "fact": fact, "remedy": remedy, "source": source}


def _mean_of(runs: Iterable[Run], value: Callable[[Run], float | None]) -> float | None:
    values = [v for v in map(value, runs) if v is not None]
    return mean_and_std(values)[0] if values else None


def _gradients(runs: list[Run]) -> Fact | None:
    """How much of the gradient comes from each loss term, or of the loss where that is unknown."""
    norms: dict[str, list[float]] = {}
    for run in runs:
        for entry in run.history:
            for name, value in (entry.get("term_grad_norm") or {}).items():
                norms.setdefault(name, []).append(value)
    if norms:
        kind, means = "gradient norm", {k: math.fsum(v) / len(v) for k, v in norms.items()}
    else:
        kind, means = "loss", _loss_parts(runs)
    total = math.fsum(means.values())
    if not total or len(means) < 2:
        return None
    share = 1 - means.get("ce", 0.0) / total
    listed = ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in means.items())
    text = f"of the {kind}, summed over the loss terms, {listed} (mean over epochs)"
    if kind == "loss":
        text += "; gradient shares were not recorded"
    if share < WEAK_SHARE:
        return _fact(
            "gradient share",
            f"{text}: distillation hardly pulls",
            "raise alpha, or the weight of the method's own terms",
            "Hinton et al. 2015, section 2, on balancing the two losses",
        )
    if share > STRONG_SHARE:
        return _fact(
            "gradient share",
            f"{text}: the labels hardly count",
            "lower alpha, so that the labels can correct the teacher",
            "Hinton et al. 2015, section 2, on balancing the two losses",
        )
    return _fact("gradient share", text)


def _loss_parts(runs: list[Run]) -> dict[str, float]:
    alphas = [run.parameters.get("alpha") for run in runs]
    if not isinstance(alphas[0], int | float):
        return {}
    entries = [entry for run in runs for entry in run.history]
    pairs = [(e["loss_ce"], e["loss_kd"]) for e in entries if "loss_ce" in e and "loss_kd" in e]
    if not pairs:
        return {}
    ce, kd = (math.fsum(column) / len(pairs) for column in zip(*pairs, strict=True))
    return {"ce": (1 - alphas[0]) * ce, "distillation": alphas[0] * kd}


def _teacher(gain: dict[str, Any]) -> Fact | None:
    accuracy = (gain["fidelity"] or {}).get("teacher_accuracy")
    if accuracy is None or gain["baseline_mean_pp"] is None:
        return None
    ahead = 100 * accuracy - gain["baseline_mean_pp"]
    text = (
        f"the teacher's test accuracy is {100 * accuracy:.2f} %, {signed(ahead)} pp against the"
        " plainly trained student"
    )
    if ahead < LITTLE_TO_TEACH_PP:
        return _fact(
            "teacher",
            f"{text}: there is little to teach",
            "a better teacher, a smaller student, or a harder task",
            "Cho and Hariharan 2019, on which teachers help; Stanton et al. 2021",
        )
    return _fact("teacher", text)


def _fitting(runs: list[Run]) -> Fact | None:
    trained = _mean_of(runs, lambda run: run.history[-1].get("train_acc") if run.history else None)
    validated = _mean_of(runs, lambda run: run.validation.get("last"))
    if trained is None or validated is None:
        return None
    text = (
        f"at the end {100 * trained:.2f} % of the training images are right and"
        f" {100 * validated:.2f} % of the validation images"
    )
    if trained > FITTED:
        return _fact(
            "fit",
            f"{text}: the student fits its training set, so the teacher repeats the labels there",
            "stronger augmentation, the same view for both, and a longer schedule",
            "Beyer et al. 2021, Knowledge distillation: a good teacher is patient and consistent",
        )
    if trained < validated - 0.01:
        return _fact("fit", f"{text}: augmented images are harder than what is measured")
    return _fact("fit", text)


def _following(gain: dict[str, Any]) -> Fact | None:
    fidelity = gain["fidelity"] or {}
    own = fidelity.get("top1_agreement")
    if not own:
        return None
    text = f"the student agrees with the teacher on {100 * own['mean']:.2f} % of the test images"
    divergence = fidelity.get("kl_t1")
    if divergence:
        text += f", KL {divergence['mean']:.3f} nats at T = 1"
    plain = (fidelity.get("baseline") or {}).get("top1_agreement")
    if not plain:
        return _fact("fidelity", f"{text}; the baseline's agreement was not recorded")
    closer = 100 * (own["mean"] - plain["mean"])
    text += f"; the plainly trained student on {100 * plain['mean']:.2f} %"
    if closer <= 0:
        return _fact(
            "fidelity",
            f"{text}: it does not follow the teacher more than without one",
            "train longer, or on more images: fidelity is limited by optimisation",
            "Stanton et al. 2021, Does knowledge distillation really work?, section 5",
        )
    return _fact("fidelity", f"{text}: it follows the teacher, which by itself is no accuracy")


def _soft_targets(runs: list[Run], gain: dict[str, Any]) -> Fact | None:
    entropy = _mean_of(
        runs, lambda run: run.history[-1].get("teacher_entropy") if run.history else None
    )
    if entropy is None:
        return None
    temperature = runs[0].parameters.get("temperature")
    classes = len((gain["fidelity"] or {}).get("per_class_accuracy") or ()) or 10
    share = entropy / math.log(classes)
    text = (
        f"soft targets at T = {temperature:g} have {entropy:.3f} nats of entropy,"
        f" {100 * share:.0f} % of what {classes} classes allow"
    )
    if share < HARD_TARGET_ENTROPY:
        return _fact(
            "soft targets",
            f"{text}: they are labels in disguise",
            "a higher temperature, or a teacher that was stopped earlier",
            "Hinton et al. 2015, section 2; Cho and Hariharan 2019",
        )
    if share > 1 - HARD_TARGET_ENTROPY:
        return _fact(
            "soft targets",
            f"{text}: they hardly tell the classes apart",
            "a lower temperature",
            "Hinton et al. 2015, section 2",
        )
    return _fact("soft targets", text)


def _length(runs: list[Run]) -> Fact | None:
    gains = []
    for run in runs:
        scores = [entry["val_acc"] for entry in run.history if "val_acc" in entry]
        tenth = max(1, len(scores) // 10)
        if len(scores) >= 10:
            last, before = scores[-tenth:], scores[-2 * tenth : -tenth]
            gains.append(100 * (math.fsum(last) - math.fsum(before)) / tenth)
    if not gains:
        return None
    rise = mean_and_std(gains)[0]
    text = f"in the last tenth of training validation accuracy changed by {signed(rise)} pp"
    trained = _mean_of(runs, lambda run: run.history[-1].get("train_acc") if run.history else None)
    # Cosine annealing lifts the last epochs of any run: it needs room on the training images, too.
    if rise > STILL_RISING_PP and trained is not None and trained < FITTED:
        return _fact(
            "schedule",
            f"{text}: it was still rising, with {100 * trained:.1f} % of the training images right",
            "more epochs, for the baseline as well",
            "Beyer et al. 2021, on patience",
        )
    return _fact("schedule", text)


def _tuning(arm: Arm, evidence: Evidence) -> Fact | None:
    tuning = tuning_of(arm, evidence)
    if tuning is None:
        return _fact("tuning", "one configuration, not tuned", "a small grid on validation images")
    count = len(tuning.candidates)
    text = f"tuned over {count} configurations on {len(tuning.seeds)} selection seed(s)"
    edges = []
    for name, value in arm.parameters.items():
        tried = {c["parameters"].get(name) for c in tuning.candidates}
        values = sorted(v for v in tried if isinstance(v, int | float))
        # Of two values each is at an edge, which says nothing.
        if len(values) == len(tried) > 2 and value in (values[0], values[-1]):
            end = "largest" if value == values[-1] else "smallest"
            edges.append(f"{name} {value:g} is the {end} tried")
    if edges:
        return _fact("tuning", f"{text}; {', '.join(edges)}", "extend the grid beyond its edge")
    return _fact("tuning", text)


def _power(
    arm: Arm, plain: Arm | None, gain: dict[str, Any], settings: dict[str, Any]
) -> Fact | None:
    if plain is None or gain["n_smallest"] < 2:
        return None
    weights = settings["primary"]
    arms = [list(side.by_seed(weights).values()) for side in (arm, plain)]
    stds = [mean_and_std(values)[1] or 0.0 for values in arms]
    if not any(stds):
        return None
    margin, n = settings["smallest_effect_pp"], gain["n_smallest"]
    alpha = settings["alpha"] / max(gain["family"], 1)
    if settings["test"] == "paired":
        std = gain["se_pp"] * math.sqrt(n) if gain["se_pp"] else math.hypot(*stds)
        power = paired_contrast_power(margin, std, n, alpha)
    else:
        power = contrast_power(margin, (1.0, -1.0), stds, n, alpha)
    text = (
        f"with {n} seeds and this spread ({stds[0]:.2f} and {stds[1]:.2f} pp), a true gain of"
        f" {margin:g} pp would be found with {level(round(power, 3))} power after correction"
    )
    if power < settings["power"]:
        needed = gain["seeds_needed"]
        remedy = f"{needed} seeds an arm" if needed else "a larger smallest effect of interest"
        return _fact("power", f"{text}: {method_name(arm.slot.method)} may help unseen", remedy)
    return _fact("power", text)
