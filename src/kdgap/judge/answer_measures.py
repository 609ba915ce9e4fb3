"""The classes that hold what networks answered, image by image; `image_by_image.py` fills them."""

from dataclasses import dataclass

from kdgap.judge.measures import ClassDifference, Interval


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: images in bins of equal width by confidence.

    Attributes:
        counts: images in each bin, the sum over the networks.
        confidence: their mean confidence, in [0, 1]; None in an empty bin.
        accuracy: the share of right answers among them.
    """

    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]


@dataclass(frozen=True)
class Side:
    """The networks of one kind: the teachers, the plain students, or the distilled ones.

    Attributes:
        runs: their ids, in the order of seeds.
        accuracy: the mean share of right answers, in [0, 1].
        reliability: over all of them.
        ensemble: the accuracy of their mean probabilities; None of one network.
        ensemble_ci95: Wilson's interval of it over the draw of test images.
    """

    runs: tuple[str, ...]
    accuracy: float
    reliability: Reliability
    ensemble: float | None
    ensemble_ci95: Interval | None


@dataclass(frozen=True)
class ConfusedPair:
    """How often images of one class are taken for another.

    Attributes:
        label: the right class, by its place.
        answer: the class that was answered.
        plain: images that the plain student confuses so, the mean over seeds; None without one.
        distilled: the same of the distilled student.
    """

    label: int
    answer: int
    plain: float | None
    distilled: float


@dataclass(frozen=True)
class Outcomes:
    """How a student and its teacher answer the same images: shares in [0, 1], means over seeds."""

    both_right: float
    teacher_only: float
    student_only: float
    both_wrong_alike: float
    both_wrong_apart: float


@dataclass(frozen=True)
class DisputedImage:
    """A test image on which students and their teachers disagree.

    Attributes:
        index: its place among the test images of the study.
        label: its right class, by its place.
        teacher: what the teachers answer most often.
        plain: what the plain students answer most often; None without them.
        distilled: what the distilled students answer most often.
        share: the share of distilled students that disagree with their teacher, in [0, 1].
        plain_share: the same of the plain students, with the same teachers.
    """

    index: int
    label: int
    teacher: int
    plain: int | None
    distilled: int
    share: float
    plain_share: float | None


@dataclass(frozen=True)
class Matrices:
    """Confusion matrices: rows are right classes, columns answers; images, means over seeds.

    Attributes:
        plain: of the plain students; None without them.
        distilled: of the distilled ones.
    """

    plain: tuple[tuple[float, ...], ...] | None
    distilled: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Agreement:
    """The share of test images that two networks answer alike.

    Attributes:
        sides: `teacher`, `plain` or `distilled`, for each network.
        seeds: of each; of a student with one of several teachers `seed/teacher's seed`; empty for a
            teacher that was given as a file.
        shares: symmetric, in [0, 1].
    """

    sides: tuple[str, ...]
    seeds: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ImageByImage:
    """What one configuration's students answer, beside plain training and their teachers.

    Attributes:
        images: how many test images.
        classes: their names.
        teacher, plain, distilled: the three sides; None where nothing keeps their answers.
        matrix: who is taken for whom; None with too many classes to be read.
        pairs: the confusions that changed most.
        class_differences: accuracy by class, distilled minus plain; see `class_differences`.
        outcomes: of the distilled students with their teachers.
        plain_outcomes: of the plain students with the same teachers.
        disputed: images on which most disagree with their teacher, the most disputed first.
        agreement: who is compared, and the shares of equal answers, in [0, 1].
        left_out: how many of the networks in the mean accuracies are shown, in a sentence; empty
            where all are.
    """

    images: int
    classes: tuple[str, ...]
    teacher: Side | None
    plain: Side | None
    distilled: Side
    matrix: Matrices | None
    pairs: tuple[ConfusedPair, ...]
    class_differences: dict[str, ClassDifference] | None
    outcomes: Outcomes | None
    plain_outcomes: Outcomes | None
    disputed: tuple[DisputedImage, ...]
    agreement: Agreement
    left_out: str
