"""What a run directory says by itself, finished or not; `record.py` lists its files.

Everything is read through the typed gate (`schema.py`).
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from kdgap.errors import StoreDamagedError, UnreadableError
from kdgap.files import parse_json, read_bytes, read_json
from kdgap.spec.identity import run_id
from kdgap.spec.run import RunSpec
from kdgap.store.manifest import HISTORY, MANIFEST, RESULTS, RUN, TEST
from kdgap.store.schema.gate import checked, fits
from kdgap.store.schema.run import Began, Ended, Epoch, Failure, RunHeader, Timing
from kdgap.store.seal import read_sealed

TIMING, FAILURE = "timing.json", "failure.json"
ATTEMPTS, LOCK = "attempts.jsonl", ".lock"
STATE = re.compile(r"state-([0-9]+)\.(json|safetensors)")
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Record:
    """A finished run, read back and verified; `spec` is what `run` says was asked.

    It is `settled` unless its test door was being opened when its process ended: its manifest
    vouches for what was there before, too.
    """

    path: Path
    run: dict[str, Any]
    spec: RunSpec
    results: dict[str, Any]
    test: dict[str, Any] | None
    settled: bool = True

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.run["id"])

    @property
    def tested(self) -> bool:
        """Whether its test door was opened to the end: what was seen is in its results."""
        seen = self.test is not None and self.results["test_acc_best"] is not None
        return seen and self.settled


class RunFiles:
    """The files of one run, to be read.

    Args:
        path: its directory.
        in_slot: whether the folder around it is a study's slot, and as much ours as the run.
    """

    def __init__(self, path: Path, *, in_slot: bool = False) -> None:
        self.path = path
        self._ours = (path, path.parent) if in_slot else (path,)

    def link(self) -> Path | None:
        """Return the symbolic link in place of a folder of ours: none is trained in or believed."""
        return next((folder for folder in self._ours if folder.is_symlink()), None)

    def _has(self, name: str) -> bool:
        return (self.path / name).exists()

    def is_done(self) -> bool:
        """Whether a finished run is here; `read` verifies it."""
        return self._has(MANIFEST)

    def lost_manifest(self) -> bool:
        """Whether a run was finished here whose manifest was removed since."""
        # A study tests finished runs only; an attempt is noted as finished after the manifest,
        # which is looked for once more, as it may be new.
        if not self._has(RESULTS) or self._has(FAILURE):
            return False
        tested = len(self._ours) > 1 and self._has(TEST)
        finished = tested or {"finished"} & {line.get("ended") for line in self.attempts()[-1:]}
        return bool(finished) and not self.is_done()

    def header(self) -> dict[str, Any]:
        """Return what `run.json` says, whether the run is finished or not.

        Raises:
            StoreDamagedError: it is damaged, or its id is not that of what was asked.
        """
        run = read_sealed(self.path / RUN)
        self._asked(run)
        return run

    def _asked(self, run: Any) -> RunSpec:
        """Return the spec in what `run.json` says; raises as `header` does."""
        path = self.path / RUN
        header = checked(RunHeader, run, path)
        if run_id(header.spec) != header.id:
            raise StoreDamagedError(f"{path}: its id does not follow from its spec")
        return header.spec

    def attempts(self, odd: list[str] | None = None) -> list[dict[str, Any]]:
        """Return the attempts noted so far; what is no line of ours is left out.

        Args:
            odd: is given a line where something was passed over.
        """
        return _lines(self.path / ATTEMPTS, odd, Began, Ended)

    def timing(self, odd: list[str] | None = None) -> dict[str, Any] | None:
        """Return what `timing.json` says; None if there is none of ours. See `attempts`."""
        why = "is not what we write"
        try:
            timing = read_json(self.path / TIMING)
            if fits(Timing, timing):
                return dict(timing)
        except UnreadableError as error:
            why = str(error).removeprefix(f"{self.path / TIMING}: ")
        except StoreDamagedError:
            pass
        if odd is not None and self._has(TIMING):
            odd.append(f"{self.path / TIMING}: {why}; passed over")
        return None

    def failure(self) -> str:
        """Return why the run failed, in words."""
        failure = self.failed()
        if failure is None:
            return "its failure record is damaged"
        step, epoch = failure.get("step"), failure.get("epoch")
        where = f" at step {step} of epoch {epoch}" if step is not None else ""
        return f"{failure['reason']}{where}"

    def repeats(self) -> bool:
        """Whether the run failed in a way that every attempt would.

        At a step whose numbers were not finite, or for a reason that lies in what was asked.
        """
        failure = self.failed()
        return failure is not None and (
            failure.get("step") is not None or failure.get("repeats") is True
        )

    def failed(self) -> dict[str, Any] | None:
        """Return what `failure.json` says; None if there is none, or it is damaged."""
        with suppress(StoreDamagedError):
            failure = read_sealed(self.path / FAILURE)
            if fits(Failure, failure):
                return failure
        return None

    def history(self, odd: list[str] | None = None) -> list[dict[str, Any]]:
        """Return the epochs recorded so far, as `attempts` returns its lines."""
        return _lines(self.path / HISTORY, odd, Epoch)

    def passed_over(self) -> list[str]:
        """Return a line for each file outside every promise that is not as we write it."""
        odd: list[str] = []
        self.attempts(odd)
        if self._has(TIMING):
            self.timing(odd)
        if self._has(TENSORBOARD) and not (self.path / TENSORBOARD).is_dir():
            odd.append(f"{self.path / TENSORBOARD}: is no folder; passed over")
        return odd


def _lines(path: Path, odd: list[str] | None, *models: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the lines that are what some model says; say of the others that there are some."""
    good, count, why = [], 0, ""
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        text, why = "", error.strerror or str(error)
    for line in filter(None, text.split("\n")):
        entry: Any = None
        with suppress(ValueError, RecursionError):
            entry = parse_json(line)
        if any(fits(model, entry) for model in models):
            good.append(entry)
        else:
            count += 1
    if count:
        why = f"{count} lines are none of ours"
    if why and odd is not None:
        odd.append(f"{path}: {why}; passed over")
    return good
