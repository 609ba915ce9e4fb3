"""Resumable states of a run in training: two files a state, the previous state kept.

`state-000007.safetensors` holds tensors. `state-000007.json` commits them: it is written after
them, names their SHA-256, and carries a checksum of its own. A reader takes the newest state in
which everything verifies, so a torn or bit-flipped one costs an interval and nothing else.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from kdgap.errors import StoreDamagedError
from kdgap.files import entries, json_text, read_bytes, read_json, remove, write_atomic
from kdgap.store.record import STATE
from kdgap.store.seal import CHECKSUM, checksum, is_whole
from kdgap.store.tensorfile import NotSafetensorsError, read_header
from kdgap.store.weights import read_tensors

FORMAT = 1


@dataclass(frozen=True)
class Snapshot:
    """A run between two steps: tensors by name, and everything else as plain JSON values."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


@dataclass
class StateFiles:
    """The states in one run directory.

    Attributes:
        folder: the run directory.
        run_id: the run; a state of another one is not read.
        problems: what was wrong with states that were passed over.
    """

    folder: Path
    run_id: str
    problems: list[str] = field(default_factory=list)
    _good: list[int] = field(default_factory=list)

    def read(self) -> Snapshot | None:
        """Return the newest state that verifies; None if there is none."""
        for number in sorted(self._numbers(), reverse=True):
            try:
                snapshot = self._verified(number)
            except StoreDamagedError as error:
                self.problems.append(str(error))
                continue
            self._good = [number]
            return snapshot
        return None

    def write(self, snapshot: Snapshot) -> None:
        """Write a state, then drop all but it and the one before."""
        number = max(self._numbers(), default=0) + 1
        content = save(snapshot.tensors)
        state: dict[str, Any] = {
            "format": FORMAT,
            "run_id": self.run_id,
            "number": number,
            "tensors_sha256": hashlib.sha256(content).hexdigest(),
            "facts": snapshot.facts,
        }
        state[CHECKSUM] = checksum(state)
        write_atomic(self._path(number, "safetensors"), content)
        write_atomic(self._path(number, "json"), (json_text(state, indent=None) + "\n").encode())
        self._good = [*self._good[-1:], number]
        self._drop(keep=self._good)

    def clear(self) -> None:
        """Remove every state: the run is over, or starts from its beginning."""
        self._good = []
        self._drop(keep=[])

    def _drop(self, keep: list[int]) -> None:
        # What commits goes first: tensors without their JSON are no state.
        for suffix in ("json", "safetensors"):
            for number in set(self._numbers(suffix)) - set(keep):
                remove(self._path(number, suffix))

    def _numbers(self, suffix: str = "json") -> list[int]:
        names = (STATE.fullmatch(path.name) for path in entries(self.folder, "state-*"))
        return [int(match[1]) for match in names if match and match[2] == suffix]

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"state-{number:06d}.{suffix}"

    def _verified(self, number: int) -> Snapshot:
        path = self._path(number, "json")
        state = read_json(path)
        if not is_whole(state):
            raise StoreDamagedError(f"{path}: its checksum does not match")
        if state["format"] != FORMAT:
            raise StoreDamagedError(f"{path}: format {state['format']!r}, expected {FORMAT}")
        if state["run_id"] != self.run_id:
            raise StoreDamagedError(f"{path}: belongs to run {str(state['run_id'])[:12]}")
        tensors = self._path(number, "safetensors")
        try:
            content = read_bytes(tensors)
            if hashlib.sha256(content).hexdigest() != state["tensors_sha256"]:
                raise StoreDamagedError(f"{tensors}: torn or changed")
            stream = BytesIO(content)
            return Snapshot(read_tensors(stream, read_header(stream)), state["facts"])
        except (OSError, NotSafetensorsError) as error:
            raise StoreDamagedError(f"{tensors}: {error}") from None


def has_states(folder: Path) -> bool:
    """Whether any file of a state is here."""
    return any(STATE.fullmatch(path.name) for path in entries(folder, "state-*"))


def newest_place(folder: Path) -> list[int] | None:
    """Return epoch and step of the newest state, as it says itself; None if there is none."""
    for path in reversed(entries(folder, "state-*.json")):
        with suppress(StoreDamagedError, KeyError, TypeError, ValueError):
            facts = read_json(path)["facts"]
            return [int(facts["epoch"]), int(facts["step"])]
    return None
