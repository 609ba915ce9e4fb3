"""What distillation changed, image by image: confusions, calibration, agreement, ensembles.

All of it is of test images, and describes; the verdicts rest on accuracy over seeds alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import numpy as np

from kdgap.judge.answer_measures import (
    Agreement,
    ConfusedPair,
    DisputedImage,
    ImageByImage,
    Matrices,
    Outcomes,
    Reliability,
    Side,
)
from kdgap.judge.answers import Network, NoAnswersError, Numbers, network_of, teacher_of
from kdgap.judge.evidence import Arm, Evidence, Run
from kdgap.judge.fidelity import class_differences
from kdgap.stats.contrast import mean_and_std
from kdgap.stats.proportion import wilson

BINS = 15
"""As many as the calibration error of a record has (Guo et al. 2017)."""
MOST_CLASSES = 24
"""A confusion matrix of more classes cannot be read: the pairs that changed most are listed."""
MOST_PAIRS = 12
MOST_IMAGES = 48
MOST_RUNS = 12
"""Of one side, in the matrix and the means of who agrees with whom: the first."""
MOST_OTHERS = 200
"""Runs that one run is compared with."""


def image_by_image(arm: Arm, plain: Arm | None, evidence: Evidence) -> ImageByImage:
    """Return what an arm's students answered, image by image.

    Runs whose predictions were not kept are left out of a side, and counted in `left_out`; a side
    without any is None.

    Args:
        arm: of the distilled students.
        plain: the same student trained plainly.
        evidence: the study.

    Raises:
        NoAnswersError: nothing keeps what the arm's students answered; the text says why.
    """
    students, sides = _answered(arm, plain, evidence)
    labels = students[0].distilled.labels()
    confidence = evidence.statistics.confidence
    measured = {name: _side(side, labels, confidence) for name, side in sides.items() if side}
    counted = arm.counted(evidence.primary)
    classes = tuple(counted[0].test[evidence.primary].by_class)  # a record has them in their order
    counts = {
        name: _confusion(sides[name], labels, len(classes)) for name in ("plain", "distilled")
    }
    return ImageByImage(
        images=len(labels),
        classes=classes,
        teacher=measured.get("teacher"),
        plain=measured.get("plain"),
        distilled=measured["distilled"],
        matrix=None
        if len(classes) > MOST_CLASSES
        else Matrices(_rows(counts["plain"]), _rows(counts["distilled"]) or ()),
        pairs=_pairs(counts["plain"], counts["distilled"]),
        class_differences=None if plain is None else class_differences(arm, plain, evidence),
        outcomes=_outcomes([(own.distilled, own.teacher) for own in students], labels),
        plain_outcomes=_outcomes(product(sides["plain"], sides["teacher"]), labels),
        disputed=_disputed(students, sides, labels),
        agreement=_agreement(sides, evidence),
        left_out=_left_out(arm, plain, evidence, sides),
    )


def disputed_images(arm: Arm, plain: Arm | None, evidence: Evidence) -> tuple[DisputedImage, ...]:
    """Return the `disputed` images of `image_by_image` alone, for which no logits are read."""
    students, sides = _answered(arm, plain, evidence)
    return _disputed(students, sides, students[0].distilled.labels())


def pictured_run(arm: Arm, evidence: Evidence) -> Path:
    """Return the folder of the first run that is shown: its test images are those of all.

    Raises:
        NoAnswersError: as `image_by_image`.
    """
    students, _ = _answered(arm, None, evidence)
    return students[0].distilled.folder


@dataclass(frozen=True)
class _Taught:
    """A distilled student and its teacher."""

    distilled: Network
    teacher: Network | None


def _answered(
    arm: Arm, plain: Arm | None, evidence: Evidence
) -> tuple[list[_Taught], dict[str, list[Network]]]:
    """Return the distilled students that are kept, each with its teacher, and every side."""
    runs = [] if plain is None else plain.counted(evidence.primary)
    students, reasons = list[_Taught](), list[NoAnswersError]()
    for run in arm.counted(evidence.primary):
        try:
            student = network_of(run, evidence)
        except NoAnswersError as error:
            reasons.append(error)
            continue
        students.append(_Taught(student, _if_kept(teacher_of, run, evidence)))
    if not students:
        raise reasons[0] if reasons else NoAnswersError("no run of it has been tested")
    sides = {
        "teacher": _each_once(own.teacher for own in students),
        "plain": _each_once(_if_kept(network_of, run, evidence) for run in runs),
        "distilled": [own.distilled for own in students],
    }
    labels = students[0].distilled.labels()
    if any(
        not np.array_equal(network.labels(), labels) for side in sides.values() for network in side
    ):
        raise NoAnswersError("its runs were tested on different images")
    return students, sides


def _each_once(networks: Iterable[Network | None]) -> list[Network]:
    """Return each network once: every student keeps the answers of a teacher given as a file."""
    return list({(own.run, own.name): own for own in networks if own is not None}.values())


def _if_kept(
    find: Callable[[Run, Evidence], Network], run: Run, evidence: Evidence
) -> Network | None:
    try:
        return find(run, evidence)
    except NoAnswersError:
        return None


def _left_out(
    arm: Arm, plain: Arm | None, evidence: Evidence, sides: Mapping[str, Sequence[Network]]
) -> str:
    """Return in a sentence how many networks of the mean accuracies are shown; empty if all are."""
    taught = arm.counted(evidence.primary)
    counts = {
        "distilled": ("distilled students", len(taught)),
        "plain": ("plain students", 0 if plain is None else len(plain.counted(evidence.primary))),
        "teacher": ("teachers", len({run.teacher for run in taught}) if arm.slot.teacher else 0),
    }
    fewer = [
        f"{len(sides[side])} of {count} {what}"
        for side, (what, count) in counts.items()
        if len(sides[side]) < count
    ]
    if not fewer:
        return ""
    return f"Shown are {', '.join(fewer)}; of the others no predictions can be read."


def _side(networks: Sequence[Network], labels: Numbers, confidence: float) -> Side:
    right, total = list[float](), np.zeros(1)
    bins = np.zeros((3, BINS))
    for network in networks:  # one at a time: probabilities of many classes take much memory
        shares = network.probabilities()
        total = total + shares
        answers = network.answers()
        right.append(float((answers == labels).mean()))
        sure = shares.max(1)
        place = np.clip(np.ceil(sure * BINS).astype(int), 1, BINS) - 1  # closed above, as in ECE
        for row, values in enumerate((np.ones(len(labels)), sure, answers == labels)):
            bins[row] += np.bincount(place, values, BINS)
    ensemble = None
    if len(networks) > 1:
        ensemble = float((total.argmax(1) == labels).mean())
    return Side(
        runs=tuple(network.run for network in networks),
        accuracy=mean_and_std(right)[0],
        reliability=Reliability(
            tuple(int(count) for count in bins[0]),
            _means(bins[1], bins[0]),
            _means(bins[2], bins[0]),
        ),
        ensemble=ensemble,
        ensemble_ci95=None if ensemble is None else wilson(ensemble, len(labels), confidence),
    )


def _means(sums: Numbers, counts: Numbers) -> tuple[float | None, ...]:
    return tuple(
        float(value / count) if count else None for value, count in zip(sums, counts, strict=True)
    )


def _confusion(networks: Sequence[Network], labels: Numbers, classes: int) -> Numbers | None:
    """Return images by right class and answer, `[C, C]`, the mean over networks."""
    if not networks:
        return None
    counts = np.zeros(classes * classes)
    for network in networks:
        counts += np.bincount(
            labels.astype(np.int64) * classes + network.answers(), minlength=classes * classes
        )
    return np.asarray(counts.reshape(classes, classes) / len(networks))


def _rows(counts: Numbers | None) -> tuple[tuple[float, ...], ...] | None:
    return None if counts is None else tuple(tuple(map(float, row)) for row in counts)


def _pairs(plain: Numbers | None, distilled: Numbers | None) -> tuple[ConfusedPair, ...]:
    """Return the confusions that changed most; without plain students, the most frequent."""
    assert distilled is not None
    change = np.abs(distilled - (0 if plain is None else plain))
    np.fill_diagonal(change, 0)
    order = np.argsort(-change, axis=None, kind="stable")[:MOST_PAIRS]
    places = [divmod(int(place), len(change)) for place in order if change.flat[place] > 0]
    return tuple(
        ConfusedPair(
            label,
            answer,
            None if plain is None else float(plain[label, answer]),
            float(distilled[label, answer]),
        )
        for label, answer in places
    )


def _outcomes(
    pairs: Iterable[tuple[Network | None, Network | None]], labels: Numbers
) -> Outcomes | None:
    """Return how students and their teachers answer; None without such a pair."""
    rows = []
    for student, teacher in pairs:
        if student is None or teacher is None:
            continue
        own, theirs = student.answers(), teacher.answers()
        good, taught, same = own == labels, theirs == labels, own == theirs
        parts = (
            good & taught,
            taught & ~good,
            good & ~taught,
            ~good & same,
            ~good & ~taught & ~same,
        )
        rows.append([float(part.mean()) for part in parts])
    if not rows:
        return None
    return Outcomes(*(float(value) for value in np.mean(rows, 0)))


def _disputed(
    students: Sequence[_Taught], sides: Mapping[str, Sequence[Network]], labels: Numbers
) -> tuple[DisputedImage, ...]:
    """Return the images on which most students disagree with their teacher."""
    taught = [(own, own.teacher) for own in students if own.teacher is not None]
    if not taught:
        return ()
    apart = _disagreeing([(own.distilled, teacher) for own, teacher in taught])
    beside = list(product(sides["plain"], sides["teacher"]))
    plain_apart = _disagreeing(beside) if beside else None
    order = [int(i) for i in np.argsort(-apart, kind="stable")[:MOST_IMAGES] if apart[i] > 0]
    teachers = _most_often([teacher for _, teacher in taught], order)
    distilled = _most_often([own.distilled for own, _ in taught], order)
    plains = _most_often([student for student, _ in beside], order) if beside else None
    return tuple(
        DisputedImage(
            index=index,
            label=int(labels[index]),
            teacher=teachers[place],
            plain=None if plains is None else plains[place],
            distilled=distilled[place],
            share=float(apart[index]),
            plain_share=None if plain_apart is None else float(plain_apart[index]),
        )
        for place, index in enumerate(order)
    )


def _disagreeing(pairs: Sequence[tuple[Network, Network]]) -> Numbers:
    """Return for each image the share of students that disagree with their teacher, `[N]`."""
    return np.asarray(
        np.mean([student.answers() != teacher.answers() for student, teacher in pairs], 0)
    )


def _most_often(networks: Sequence[Network], images: Sequence[int]) -> list[int]:
    """Return what networks answer most often to each of some images; the first class of equals."""
    answers = np.stack([network.answers()[list(images)] for network in networks])
    return [int(np.bincount(column).argmax()) for column in answers.T]


def _agreement(sides: Mapping[str, Sequence[Network]], evidence: Evidence) -> Agreement:
    shown = [(name, network) for name, side in sides.items() for network in side[:MOST_RUNS]]
    answers = [network.answers() for _, network in shown]
    runs = {run.id: run for run in evidence.runs}
    several = len({runs[network.run].teacher for network in sides["distilled"]}) > 1

    def seed(network: Network) -> str:
        run = runs.get(network.run)
        if run is None:  # a teacher that was given as a file
            return ""
        teacher = runs.get(run.teacher or "") if several else None
        return str(run.seed) if teacher is None else f"{run.seed}/{teacher.seed}"

    return Agreement(
        sides=tuple(name for name, _ in shown),
        seeds=tuple(seed(network) for _, network in shown),
        shares=tuple(tuple(float((own == other).mean()) for other in answers) for own in answers),
    )


def agreeing(run: Run, evidence: Evidence) -> list[tuple[str, float]]:
    """Return the share of test images that a run answers like each other tested run of a study.

    The most alike first; at most `MOST_OTHERS`, those of the same student before others.

    Raises:
        NoAnswersError: nothing keeps what the run answered.
    """
    own = network_of(run, evidence)
    labels, answers = own.labels(), own.answers()
    student = {slot.student for slot in run.slots}
    primary = evidence.primary
    tested = [r for r in evidence.runs if r.id != run.id and r.accuracy(primary) is not None]
    tested.sort(key=lambda other: student.isdisjoint(slot.student for slot in other.slots))
    kept = (_if_kept(network_of, other, evidence) for other in tested)
    alike = (other for other in kept if other and np.array_equal(other.labels(), labels))
    shares = [
        (other.run, float((other.answers() == answers).mean()))
        for other in islice(alike, MOST_OTHERS)
    ]
    return sorted(shares, key=lambda entry: -entry[1])
