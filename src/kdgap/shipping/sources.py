"""What a model can be exported or asked from: what a path is, and what is known of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgap.data import DATASETS
from kdgap.errors import BadInputError
from kdgap.files import read_bytes
from kdgap.running.places import Origin
from kdgap.running.teacher import TeacherWeights, open_teacher
from kdgap.shipping.facts import KEY, Facts, read_facts
from kdgap.shipping.formats import HUB_WEIGHTS, kind_of
from kdgap.store.card import opened
from kdgap.store.record import BEST, RUN, Record, RunDirectory
from kdgap.store.weights import require_free

_COPIES = 3
"""Of a file in memory: as read, as checked, as loaded."""


@dataclass(frozen=True)
class Source:
    """A network to export.

    Attributes:
        path: what the user named.
        name: of its files, unless the user says another.
        weights: the network with its card.
        record: the run that made it, if that is what was named.
        facts: what an exported file says already; None for others.
    """

    path: Path
    name: str
    weights: TeacherWeights
    record: Record | None
    facts: Facts | None

    def data_root(self) -> Path | None:
        """Return where the run's data is; None where nothing says it."""
        if self.record is None:
            return None
        place = self.record.spec.place
        began: dict[str, Any] = next(
            (a for a in reversed(RunDirectory(self.path).attempts()) if "began" in a), {}
        )
        origin = Origin(self.path, place.output_dir, began.get("in"))
        return Path(origin.find(place.data_root))

    def stored_size(self) -> tuple[int, int] | None:
        """Return the size of the data's own images, where the network sees them at another."""
        if self.facts is not None:
            return self.facts.stored_size
        card = self.weights.card
        size = None
        if self.record is not None and self.record.spec.data.image_size is not None:
            size = (self.record.spec.data.image_size,) * 2
        elif card.data in DATASETS and (shape := DATASETS[card.data].shape) is not None:
            size = shape.image_size
        return None if size == card.image_size else size


def open_source(path: Path) -> Source:
    """Open a network to export, with all checks that need no data.

    Raises:
        BadInputError: it is none, or a file that holds a graph already.
        StoreDamagedError: a run's record is damaged.
    """
    kind = kind_of(path)
    if kind in ("onnx", "pt2"):
        raise BadInputError(
            f"{path}: is exported already, and its graph is all there is; name the run or the"
            " weights file that it came from"
        )
    if kind == "run":
        record = RunDirectory(path).read()
        if not (path / BEST).exists():
            raise BadInputError(
                f"{path}: its weights were tidied away; train it again, or name a weights file"
                " that was kept"
            )
        weights = open_teacher(path / BEST, None, unmeasured=True)
        return Source(path, path.resolve().name, weights, record, None)
    file = path / HUB_WEIGHTS if kind == "hub" else path
    if file.name == BEST and RunDirectory(file.parent).is_done():
        return open_source(file.parent)
    weights = open_teacher(file, None, unmeasured=True)
    beside = file.parent if (file.parent / RUN).exists() else file.with_suffix("")
    name = path if kind == "hub" else beside
    return Source(path, name.resolve().name, weights, None, facts_of(file))


def facts_of(file: Path) -> Facts | None:
    """Return what a safetensors file says of itself besides its card; None if nothing.

    Raises:
        BadInputError: it is none, or what it says is bad.
    """
    with opened(file) as (_, header):
        text = header.metadata.get(KEY)
    return None if text is None else read_facts(text, str(file))


def content_of(path: Path, limit: int) -> bytes:
    """Return the bytes of a model's file.

    Raises:
        BadInputError: it cannot be read, is larger than `limit` bytes or than memory allows.
    """
    try:
        size = path.stat().st_size
        if not size and path.is_file():
            raise BadInputError(f"{path}: is empty; write it again with `kdgap export`")
        if size > limit:
            raise BadInputError(f"{path}: is larger than {limit:,} bytes")
        require_free(path, _COPIES * size)
        return read_bytes(path)
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror or error}") from None
