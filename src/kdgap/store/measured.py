"""What was measured once and is worth keeping: teachers' accuracies, and the speed of machines.

A measurement is kept sealed and under its own name. One that is damaged, of another name, or of
before seals is no measurement: it is made again.
"""

from contextlib import suppress
from pathlib import Path

from kdgap.errors import StoreDamagedError
from kdgap.files import make_folder, write_volatile
from kdgap.paths import cache_folder
from kdgap.store.schema.gate import Measured, fits
from kdgap.store.seal import is_sealed, read_sealed, sealed_bytes


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
