"""Why is a student no better? What the records show, and the usual remedy with its source.

Facts first, what they may mean apart from them. A remedy is only named where a fact points to it,
and not where the same records speak against it; it is advice, not a finding.
"""

import math
from collections.abc import Callable, Iterable

from kdgap.judge.analysis import Settings
from kdgap.judge.causes import other_value, power_fact
from kdgap.judge.entries import Fact, Gain
from kdgap.judge.evidence import Arm, Evidence, Run, choice_words, choosing_images
from kdgap.judge.fidelity import TOWARDS, closeness
from kdgap.judge.grids_tried import called, card_of, lost_beyond, tuning_fact
from kdgap.judge.measures import Fidelity
from kdgap.numbers import decimals, level, signed
from kdgap.stats.contrast import mean_and_std

WEAK_SHARE, STRONG_SHARE = 0.1, 0.95
"""Below the one, distillation hardly moves the student; above the other, the labels hardly do."""
LITTLE_TO_TEACH_PP = 1.0
HARD_TARGET_ENTROPY = 0.1
"""Share of the largest possible entropy below which soft targets are labels in disguise."""
STILL_RISING_PP = 0.5
FITTED = 0.995

HINTON = "Hinton et al. 2015, Distilling the knowledge in a neural network, section 2"
CHO = "Cho and Hariharan 2019, On the efficacy of knowledge distillation"
BEYER = "Beyer et al. 2021, Knowledge distillation: a good teacher is patient and consistent"
STANTON = "Stanton et al. 2021, Does knowledge distillation really work?, sections 5 and 6"
WORDS = {"top1_agreement": "agreement", "kl_t1": "KL (T = 1)", "kl_t4": "KL (T = 4)"}
_KINDS = {"top1_agreement": "agreement", "kl_t1": "KL", "kl_t4": "KL"}


def diagnose(
    arm: Arm, plain: Arm | None, evidence: Evidence, gain: Gain, settings: Settings
) -> tuple[Fact, ...]:
    """Return facts on why a method shows no gain."""
    runs = [run for run in arm.runs if run.state == "done"]
    if not runs:
        return ()
    facts = [
        _gradients(arm, runs, evidence),
        _teacher(gain),
        _fitting(runs, evidence.chosen_on),
        _following(gain, settings),
        _soft_targets(arm, runs, evidence),
        _length(runs, evidence.chosen_on),
        tuning_fact(arm, evidence),
        power_fact(arm, plain, gain, settings),
    ]
    return tuple(fact for fact in facts if fact is not None)


def _fact(
    topic: str,
    fact: str,
    reading: str | None = None,
    remedy: str | None = None,
    source: str | None = None,
    change: str | None = None,
) -> Fact:
    return Fact(
        topic=topic, fact=fact, reading=reading, remedy=remedy, source=source, change=change
    )


def _mean_of(runs: Iterable[Run], value: Callable[[Run], float | None]) -> float | None:
    values = [v for v in map(value, runs) if v is not None]
    return mean_and_std(values)[0] if values else None


def _at_end(runs: Iterable[Run], key: str) -> float | None:
    """Return the mean of what the last epochs recorded under a key."""
    return _mean_of(runs, lambda run: run.history.at_end(key))


def _gradients(arm: Arm, runs: list[Run], evidence: Evidence) -> Fact | None:
    """How much of the gradient comes from each loss term, or of the loss where that is unknown."""
    norms: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.history.parts("term_grad_norm"):
            norms.setdefault(name, []).append(value)
    means = {k: math.fsum(v) / len(v) for k, v in norms.items()} or _loss_parts(arm, runs, evidence)
    total = math.fsum(means.values())
    if not total or len(means) < 2:
        return None
    listed = ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in means.items())
    text = f"summed over the loss terms, {listed} (mean over epochs)"
    if not norms:  # a large term may be flat: its share says nothing of what moves the student
        unknown = "gradients, whose shares may be others, were not recorded"
        return _fact("loss share", f"of the loss, {text}; {unknown}")
    share = 1 - means.get("ce", 0.0) / total
    text = f"of the gradient norm, {text}"
    if WEAK_SHARE <= share <= STRONG_SHARE:
        return _fact("gradient share", text)
    weak = share < WEAK_SHARE
    reading = "distillation hardly pulls" if weak else "the labels hardly count"
    mixes = called(arm, evidence, card_of(arm, evidence).mixed_by)
    lost = lost_beyond(arm, evidence, mixes, larger=weak) if mixes else None
    if lost is not None:
        return _fact("gradient share", f"{text}; {lost}", reading)
    own = f"{f'{mixes}, or ' if mixes else ''}the weight of the method's own terms"
    lower = f"lower {mixes or own}, so that the labels can correct the teacher"
    remedy = f"raise {own}" if weak else lower
    change = other_value(arm, mixes, lambda value: (value + 1) / 2 if weak else value / 2)
    source = f"{HINTON}, on balancing the two losses"
    return _fact("gradient share", text, reading, remedy, source, change)


def _loss_parts(arm: Arm, runs: list[Run], evidence: Evidence) -> dict[str, float]:
    mixes = called(arm, evidence, card_of(arm, evidence).mixed_by)
    alpha = runs[0].parameters.get(mixes) if mixes else None
    if not isinstance(alpha, int | float):
        return {}
    pairs = [pair for run in runs for pair in run.history.both("loss_ce", "loss_kd")]
    if not pairs:
        return {}
    ce, kd = (math.fsum(column) / len(pairs) for column in zip(*pairs, strict=True))
    return {"ce": (1 - alpha) * ce, "distillation": alpha * kd}


def _teacher(gain: Gain) -> Fact | None:
    accuracy = None if gain.fidelity is None else gain.fidelity.teacher_accuracy
    if accuracy is None or gain.baseline_mean_pp is None:
        return None
    ahead = 100 * accuracy - gain.baseline_mean_pp
    text = (
        f"the teacher's test accuracy is {decimals(100 * accuracy)} %, {signed(ahead)} pp against"
        " the plainly trained student"
    )
    if ahead < LITTLE_TO_TEACH_PP:
        remedy = "a smaller student, or a harder task; a better teacher alone often does not help"
        return _fact("teacher", text, "there is little to teach", remedy, CHO)
    return _fact("teacher", text)


def _fitting(runs: list[Run], chosen_on: str) -> Fact | None:
    trained = _at_end(runs, "train_acc")
    validated = _mean_of(runs, lambda run: run.validation.last)
    if trained is None or validated is None:
        return None
    text = (
        f"at the end {decimals(100 * trained)} % of the training images are right and"
        f" {decimals(100 * validated)} % of the {choosing_images(chosen_on)} images"
    )
    if trained > FITTED:
        return _fact(
            "fit",
            text,
            "the student fits its training set, where the teacher may only repeat the labels",
            "stronger augmentation, the same view for both, and a longer schedule",
            BEYER,
        )
    if trained < validated - 0.01:
        return _fact("fit", text, "augmented images are harder than what is measured")
    return _fact("fit", text)


def _following(gain: Gain, settings: Settings) -> Fact | None:
    """Whether it is closer to the teacher than the plainly trained student: by intervals alone."""
    fidelity = gain.fidelity
    texts = [] if fidelity is None else _beside_the_plain(fidelity)
    if fidelity is None or not texts:
        return None
    text = f"on the test images, against the teacher: {'; '.join(texts)}"
    if not fidelity.difference:
        return _fact("fidelity", f"{text}; the baseline's was not recorded")
    signs = closeness(fidelity)
    if not signs:
        return _fact("fidelity", f"{text}; without a spread over seeds there is no interval")
    closer = " and ".join(WORDS[name] for name, sign in signs.items() if sign > 0)
    further = " and ".join(WORDS[name] for name, sign in signs.items() if sign < 0)
    kinds = list(dict.fromkeys(_KINDS[name] for name in signs))
    none = f"neither {' nor '.join(kinds)} shows a" if len(kinds) > 1 else f"{kinds[0]} shows no"
    shown = [f"closer to the teacher by {closer}"] if closer else []
    shown += [f"further from the teacher by {further}"] if further else []
    text += f"; {', '.join(shown) or f'{none} difference'}"
    text += f" ({level(settings.confidence)} intervals, each for itself)"
    if closer:
        reading = "it follows its teacher more than without one, which by itself is no accuracy"
        if further:
            reading = "the measures disagree on whether it follows its teacher"
        return _fact("fidelity", text, reading)
    reading = "it follows its teacher less than without one"
    if not further:
        reading = "these seeds do not show that it follows its teacher more than without one"
    remedy = "train longer, or on more images: optimisation and data limit fidelity"
    return _fact("fidelity", text, reading, remedy, STANTON)


def _beside_the_plain(fidelity: Fidelity) -> list[str]:
    """Return each measure of the student, of the plainly trained one, and their difference."""
    texts = []
    for name in TOWARDS:
        own = fidelity.named(name)
        if own is None:
            continue
        share = name == "top1_agreement"
        scale, digits, unit = (100, 2, " %") if share else (1, 4, " nats")
        text = f"{WORDS[name]} {scale * own.mean:.{digits}f}{unit}"
        between = fidelity.difference and fidelity.difference.named(name)
        plain = fidelity.baseline and fidelity.baseline.named(name)
        if between and plain:
            text += f", plainly trained {scale * plain.mean:.{digits}f}{unit}, difference"
            text += f" {signed(scale * between.difference, digits)}{' pp' if share else ''}"
            if between.ci95:
                text += f" [{', '.join(signed(scale * end, digits) for end in between.ci95)}]"
        texts.append(text)
    return texts


def _soft_targets(arm: Arm, runs: list[Run], evidence: Evidence) -> Fact | None:
    entropy, name = (
        _at_end(runs, "teacher_entropy"),
        called(arm, evidence, card_of(arm, evidence).softened_by),
    )
    if entropy is None:
        if name is None:
            return None
        return _fact("soft targets", "the entropy of the soft targets was not recorded")
    temperature = arm.parameters.get(name or "")
    at = f" at T = {temperature:g}" if isinstance(temperature, int | float) else ""
    text = f"soft targets{at} have {entropy:.3f} nats of entropy"
    tests = [scores for run in runs for scores in run.test.values()]
    classes = max((len(scores.by_class) for scores in tests), default=0)
    if classes < 2:
        return _fact("soft targets", text)
    share = entropy / math.log(classes)
    text += f", {100 * share:.0f} % of what {classes} classes allow"
    if HARD_TARGET_ENTROPY <= share <= 1 - HARD_TARGET_ENTROPY:
        return _fact("soft targets", text)
    hard = share < HARD_TARGET_ENTROPY
    reading = "they are labels in disguise" if hard else "they hardly tell the classes apart"
    lost = lost_beyond(arm, evidence, name, larger=hard) if name else None
    if lost is not None:
        return _fact("soft targets", f"{text}; {lost}", reading)
    remedy = f"a {'higher' if hard else 'lower'} temperature"
    change = other_value(arm, name, lambda value: 2 * value if hard else value / 2)
    return _fact("soft targets", text, reading, remedy, HINTON, change)


def _length(runs: list[Run], chosen_on: str) -> Fact | None:
    gains = []
    for run in runs:
        scores = run.history.values("val_acc")
        tenth = max(1, len(scores) // 10)
        if len(scores) >= 10:
            last, before = scores[-tenth:], scores[-2 * tenth : -tenth]
            gains.append(100 * (math.fsum(last) - math.fsum(before)) / tenth)
    if not gains:
        return None
    rise = mean_and_std(gains)[0]
    text = f"in the last tenth of training {choice_words(chosen_on)} changed by {signed(rise)} pp"
    trained = _at_end(runs, "train_acc")
    # Cosine annealing lifts the last epochs of any run: it needs room on the training images, too.
    if rise > STILL_RISING_PP and trained is not None and trained < FITTED:
        return _fact(
            "schedule",
            f"{text}, and at the end {100 * trained:.1f} % of the training images are right",
            f"{choice_words(chosen_on)} was still rising",
            "more epochs, for the baseline as well",
            BEYER,
        )
    return _fact("schedule", text)
