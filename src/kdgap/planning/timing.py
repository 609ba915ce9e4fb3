"""How long tasks take on a machine: as they were timed there, placed between others, or assumed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kdgap.planning.tasks import Machine, Task, assumed
from kdgap.store.measured import Timed, read_times

Origin = Literal["runs", "probe", "neighbours", "assumed"]

# How much further than what was seen a range reaches, as a factor: a load that comes or goes while
# a study trains, and for sizes that were not timed, that time is no straight line.
BEYOND: Mapping[Origin, float] = {"runs": 1.15, "probe": 1.3, "neighbours": 2.0, "assumed": 4.0}
OTHER_SIZE = 1.15


@dataclass(frozen=True)
class Span:
    """Seconds, and the range in which they are expected."""

    low: float = 0.0
    mid: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: float) -> "Span":
        """Return so many times as much."""
        return Span(self.low * factor, self.mid * factor, self.high * factor)

    def wider(self, factor: float) -> "Span":
        """Return the same seconds in a range that is so much wider on both sides."""
        return Span(self.low / factor, self.mid, self.high * factor)


class Timings:
    """What was timed on a machine, and what follows from it for the tasks of a study.

    Args:
        machine: where the study trains.
        tasks: all of the study, between which those that were not timed are placed.
        fresh: believe a probe before earlier runs.
    """

    def __init__(self, machine: Machine, tasks: Iterable[Task], *, fresh: bool = False) -> None:
        self._machine = machine
        self._order: tuple[Origin, ...] = ("probe", "runs") if fresh else ("runs", "probe")
        self._files: dict[str, Timed] = {}
        self._known: dict[Task, tuple[Span, Origin] | None] = {}
        for task in tasks:
            self._known[task] = self._timed(task)

    def missing(self) -> list[Task]:
        """Return the tasks that were never timed, but those that no run of a few steps times."""
        probed = (task for task in self._known if task.part not in ("start", "test"))
        return [task for task in probed if self._known[task] is None]

    def seconds(self, task: Task) -> tuple[Span, Origin]:
        """Return what a task takes, and where the number comes from."""
        if task not in self._known:
            self._known[task] = self._timed(task)
        if (known := self._known[task] or self._placed(task)) is not None:
            return known
        seconds = assumed(self._machine, task)
        return Span(seconds, seconds, seconds).wider(BEYOND["assumed"]), "assumed"

    def of(self, counts: Mapping[Task, int]) -> tuple[Span, dict[Origin, float]]:
        """Return what tasks take together, and the seconds of it by where they come from."""
        total, shares = Span(), dict.fromkeys(BEYOND, 0.0)
        for task, count in counts.items():
            span, origin = self.seconds(task)
            total += span.times(count)
            shares[origin] += span.mid * count
        return total, shares

    def _timed(self, task: Task) -> tuple[Span, Origin] | None:
        for origin in self._order:
            stem = task.stem(self._machine, origin)
            if stem not in self._files:
                self._files[stem] = read_times(stem)
            if self._files[stem]:
                return at(self._files[stem], task.images).wider(BEYOND[origin]), origin
        return None

    def _placed(self, task: Task) -> tuple[Span, Origin] | None:
        """Place a task between those of its part that were timed, by their FLOPs."""
        if task.part == "test":  # best and last weights, and its baseline's, as validations are
            validation = Task("validation", task.what, task.images, task.flops)
            placed = self._placed(validation)
            return placed and (placed[0].times(4), placed[1])
        points: dict[int, list[Span]] = {}
        for other, known in self._known.items():
            if other.part == task.part and known is not None:
                points.setdefault(round(other.flops * other.images), []).append(known[0])
        if not points or task.part == "start":
            return None
        middle = {size: [span.mid for span in spans] for size, spans in points.items()}
        return at(middle, round(task.flops * task.images)).wider(BEYOND["neighbours"]), "neighbours"


def at(timed: Timed, size: int) -> Span:
    """Return the seconds at a size, from those at others: on a line through the two nearest.

    The line starts at or above zero and never falls. What was timed at one size only is taken in
    proportion for larger ones, which is too much, and half of it is for smaller ones.

    Args:
        timed: size → seconds, at least one of at least one.
        size: wanted, at least 0.
    """
    if size in timed:
        return _span(timed[size])
    if len(timed) == 1:
        ((other, seconds),) = timed.items()
        span, share = _span(seconds), size / other if other else 1.0
        if share >= 1:
            return span.times(share).wider(OTHER_SIZE)
        # Anything between as long as the other, if that was overhead, and in proportion.
        return Span(span.low * share, span.mid * (1 + share) / 2, span.high)
    near, far = sorted(sorted(timed, key=lambda other: abs(other - size))[:2])
    first, second = _span(timed[near]), _span(timed[far])

    def on_line(low: float, high: float) -> float:
        slope = max(0.0, (high - low) / (far - near))
        start = high - slope * far
        if start < 0:
            slope, start = high / far, 0.0
        return start + slope * size

    mid = on_line(first.mid, second.mid)
    # The spread of the larger one: a difference of ranges would be no range.
    spread = second.low / second.mid, second.high / second.mid
    return Span(mid * spread[0], mid, mid * spread[1]).wider(OTHER_SIZE)


def _span(seconds: Sequence[float]) -> Span:
    ordered = sorted(seconds)
    count = len(ordered)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return Span(ordered[0], middle, ordered[-1])
