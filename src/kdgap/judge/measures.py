"""What is measured on the test images beside accuracy, over seeds."""

from dataclasses import dataclass

Interval = tuple[float, float]
"""Its lower and its upper end."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure over seeds."""

    n: int
    mean: float
    std: float | None
    ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How closely networks follow a teacher on the test images; None where nobody recorded it.

    Attributes:
        top1_agreement: share of images with the same answer.
        kl_t1, kl_t4: KL(teacher‖student) in nats at temperatures 1 and 4.
        ece: expected calibration error, a share.
    """

    top1_agreement: Measure | None
    kl_t1: Measure | None
    kl_t4: Measure | None
    ece: Measure | None

    def named(self, name: str) -> Measure | None:
        """Return one of `fidelity.MEASURES` by its name."""
        measure: Measure | None = getattr(self, name)
        return measure


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A measure of a method's arm minus that of its baseline."""

    difference: float
    ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class ClassDifference(Difference):
    """The same of one class's accuracy; the simultaneous interval holds for all classes at once."""

    ci95_simultaneous: Interval | None


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The differences of `Measures`."""

    top1_agreement: Difference | None
    kl_t1: Difference | None
    kl_t4: Difference | None
    ece: Difference | None

    def named(self, name: str) -> Difference | None:
        """Return one of `fidelity.MEASURES` by its name."""
        difference: Difference | None = getattr(self, name)
        return difference


@dataclass(frozen=True, kw_only=True)
class Fidelity(Measures):
    """How closely a method's students follow their teacher, beside the plainly trained ones.

    Attributes:
        baseline: the same measures of the plainly trained student, against the same teacher.
        difference: the method's minus the baseline's.
        teacher_accuracy: a share.
        per_class_accuracy, per_class_baseline, per_class_difference: by the name of the class.
    """

    baseline: Measures | None
    difference: Differences | None
    teacher_accuracy: float | None
    per_class_accuracy: dict[str, Measure] | None
    per_class_baseline: dict[str, Measure] | None
    per_class_difference: dict[str, ClassDifference] | None
