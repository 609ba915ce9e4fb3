"""What was measured and is worth keeping: teachers' accuracies, and how long work takes here.

A measurement is kept sealed and under its own name. One that is damaged, of another name, or of
before seals is no measurement: it is made again.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kdgap.errors import StoreDamagedError
from kdgap.files import make_folder, write_volatile
from kdgap.paths import cache_folder
from kdgap.store.schema.gate import Measured, fits
from kdgap.store.seal import is_sealed, read_sealed, sealed_bytes

Timed = Mapping[int, Sequence[float]]
"""Number of images → seconds, oldest first."""
KEPT_TIMES, KEPT_SIZES = 8, 4
"""How many of the newest timings are kept at one size, and at how many sizes."""
FOREVER = 1e9
"""Seconds that nothing takes."""


def measured_folder() -> Path:
    """Return the folder of measurements, in the cache."""
    return cache_folder() / "measured"


def keep_measured(path: Path, values: dict[str, float]) -> None:
    """Keep a measurement; a cache that cannot be written costs time only."""
    with suppress(OSError):
        make_folder(path.parent)
        write_volatile(path, sealed_bytes({"of": path.name, "values": values}))


def read_measured(path: Path) -> dict[str, float] | None:
    """Return what was measured before; None if nothing was that can be believed."""
    with suppress(StoreDamagedError):
        content = read_sealed(path)
        if is_sealed(content) and fits(Measured, content) and content["of"] == path.name:
            return dict(content["values"])
    return None


def keep_time(stem: str, images: int, seconds: float) -> None:
    """Keep one more timing beside earlier ones; of two processes at once, one may be lost.

    Args:
        stem: the name of what was timed.
        images: how many at once.
        seconds: it took.
    """
    known = read_times(stem)
    others = sorted(known.keys() - {images})
    if len(others) >= KEPT_SIZES:  # the smallest and the largest say most of those between
        others = [others[0], *others[2 - KEPT_SIZES :]]
    times = {size: known[size] for size in others}
    times[images] = [*known.get(images, ()), seconds][-KEPT_TIMES:]
    values = {f"{size}/{n}": s for size, listed in times.items() for n, s in enumerate(listed)}
    keep_measured(_times_file(stem), values)


def read_times(stem: str) -> Timed:
    """Return the timings of something by number of images; none if none can be believed."""
    times: dict[int, list[float]] = {}
    for name, seconds in (read_measured(_times_file(stem)) or {}).items():
        size, _, number = name.partition("/")
        if not (size.isdecimal() and number.isdecimal() and 0 < seconds < FOREVER):
            return {}
        times.setdefault(int(size), []).append(seconds)
    return times


def _times_file(stem: str) -> Path:
    return measured_folder() / f"{stem}.json"
