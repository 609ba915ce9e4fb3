"""What a run recorded: its validation accuracy, its scores on test images, and its epochs.

Each class is a view of what a file holds. Nothing is copied, so ten thousand runs cost little
until something is read; and whoever passes a record on passes on all of it, `document`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Validation:
    """Accuracy in [0, 1] on the images that choose epochs; None where it is not known."""

    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> float | None:
        """Of the best epoch."""
        return _number(self.document, "best")

    @property
    def best_epoch(self) -> int | None:
        """Which epoch that is, counted from 1."""
        epoch: int | None = self.document.get("best_epoch")
        return epoch

    @property
    def last(self) -> float | None:
        """Of the last epoch."""
        return _number(self.document, "last")


@dataclass(frozen=True, slots=True)
class Scores:
    """What some weights reach on the test images; None for what was not recorded.

    Agreement, calibration error and accuracies are shares of one, KL is in nats.
    """

    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """Share of images that are classified rightly."""
        return _number(self.document, "accuracy")

    @property
    def top1_agreement(self) -> float | None:
        """Share of images on which it says what the teacher says."""
        return _number(self.document, "top1_agreement")

    @property
    def kl_t1(self) -> float | None:
        """Mean KL(teacher || student) at temperature 1."""
        return _number(self.document, "kl_t1")

    @property
    def kl_t4(self) -> float | None:
        """The same at temperature 4."""
        return _number(self.document, "kl_t4")

    @property
    def ece(self) -> float | None:
        """Calibration error."""
        return _number(self.document, "ece")

    @property
    def by_class(self) -> Mapping[str, float | None]:
        """Class → accuracy on its images, None for a class without any; empty if not recorded."""
        accuracies: Mapping[str, float | None] | None = self.document.get("per_class_acc")
        return accuracies or {}

    @property
    def measures(self) -> dict[str, float | None]:
        """What is compared beside accuracy, by the names of `fidelity.MEASURES`."""
        read = self.document.get
        return {
            "top1_agreement": read("top1_agreement"),
            "kl_t1": read("kl_t1"),
            "kl_t4": read("kl_t4"),
            "ece": read("ece"),
        }


UNTESTED = Scores()
"""Of weights that were not tested."""


@dataclass(frozen=True, slots=True)
class History:
    """The epochs of a run, in order: numbers by name, some of them by loss term.

    What an epoch records differs between methods and versions, so it is asked for by name.
    """

    document: Sequence[Mapping[str, Any]] = ()

    def __len__(self) -> int:
        return len(self.document)

    def numbers(self, key: str, part: str | None = None) -> Iterator[tuple[int, float]]:
        """Yield (epoch, number) where an epoch recorded a finite number.

        Args:
            key: field of an epoch.
            part: field within it, such as a loss term.
        """
        for place, entry in enumerate(self.document, 1):
            value = entry.get(key)
            if part is not None:
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(value, int | float) and math.isfinite(value):
                yield int(entry.get("epoch", place)), float(value)

    def values(self, key: str) -> list[float]:
        """Return the finite numbers that epochs recorded, in order."""
        return [
            value
            for entry in self.document
            if isinstance(value := entry.get(key), int | float) and math.isfinite(value)
        ]

    def at_end(self, key: str) -> float | None:
        """Return what the last epoch recorded; None without."""
        return _number(self.document[-1], key) if self.document else None

    def both(self, first: str, second: str) -> Iterator[tuple[float, float]]:
        """Yield two numbers of each epoch that recorded both."""
        for entry in self.document:
            if first in entry and second in entry:
                yield entry[first], entry[second]

    def parts(self, key: str) -> Iterator[tuple[str, float]]:
        """Yield every (part, number) of a field that is recorded by part, such as a loss term."""
        for entry in self.document:
            yield from (entry.get(key) or {}).items()

    def parts_at_start(self, key: str) -> tuple[str, ...]:
        """Return the parts that the first epoch recorded of a field."""
        return tuple(self.document[0].get(key) or ()) if self.document else ()

    def recorded(self, key: str) -> bool:
        """Whether an epoch recorded something: an imported run writes 0 where it did not."""
        return any(entry.get(key) for entry in self.document)


def _number(document: Mapping[str, Any], key: str) -> float | None:
    value: float | None = document.get(key)
    return value
