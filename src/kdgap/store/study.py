"""A study's directory: what was asked, the plan, what is locked, and the runs.

| file | what it holds |
|---|---|
| `study.yaml` | the study as it was last run |
| `plan.json` | the resolved plan: runs, slots, costs, methods; what reading a study needs |
| `selection.json` | the winners and what they were chosen from, once selection has ended |
| `locked/NAME.json` | what may not change any more: data, threads, teachers, pre-registration |
| `live/HOST-PID.json` | what a runner is doing right now |
| `.plan-lock` | held by the runner that checks and writes `plan.json` |
| `runs/SLOT/SEED-ID/` | one directory a run; see `record.py` |
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdgap.errors import BadInputError, KdgapError, StoreDamagedError
from kdgap.files import (
    TEMPORARY_PREFIX,
    entries,
    json_text,
    link_new,
    make_folder,
    names_in,
    read_bytes,
    read_json,
    write_json,
)
from kdgap.store.locks import PROBE, holder, is_held
from kdgap.store.record import FAILURE, LOCK, MANIFEST, RUN, Record, RunDirectory

STUDY, PLAN, SELECTION = "study.yaml", "plan.json", "selection.json"
PLAN_LOCK = ".plan-lock"
# What readers rely on: of a plan, of each of its runs, of each choice of a selection.
_PLAN_KEYS: dict[str, type | tuple[type, ...]] = {
    "study": dict,
    "selection_complete": bool,
    "winners": list,
    "runs": list,
    "open_runs": int,
    "open_flops": (int, float),
    "warnings": list,
    "marks": list,
}
_RUN_KEYS = {"id", "path", "seed", "teacher", "roles", "slots"}
_SLOT_KEYS = {"role", "teacher", "student", "method"}
_RUN_PATH = r"runs/(?!\.)[^/\0]{1,255}/(?!\.)[^/\0]{1,255}"
_CHOICE_KEYS = {"teacher", "student", "method", "tried"}
RunState = Literal["done", "failed", "running", "interrupted", "new", "damaged"]


@dataclass(frozen=True)
class RunStatus:
    """How a run stands, and a word about it where there is something to say."""

    state: RunState
    remark: str = ""


class StudyDirectory:
    """One study's directory; see the module for its files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether a study was ever run here."""
        return (self.path / PLAN).exists()

    def refuse_other(self) -> None:
        """Refuse a folder that holds something that is no study.

        Raises:
            BadInputError: naming what is there and how to go on.
        """
        if self.path.is_symlink():
            raise BadInputError(f"{self.path}: is a symbolic link; name a real folder")
        if not self.path.is_dir() or self.exists():
            return
        # A first start that was killed leaves some of these, and files half written.
        ours = {STUDY, PLAN_LOCK, PROBE, "locked"}
        names = names_in(self.path)
        strangers = [n for n in names if n not in ours and not n.startswith(TEMPORARY_PREFIX)]
        if strangers:
            raise BadInputError(
                f"{self.path}: not empty and no study of ours (holds {min(strangers)!r});"
                " give another --out"
            )

    def run(self, path: str) -> RunDirectory:
        """Return the directory of a run by its path in the plan."""
        return RunDirectory(self.path / path, in_slot=True)

    def plan(self) -> dict[str, Any]:
        """Read `plan.json`.

        Raises:
            BadInputError: there is no study here.
            StoreDamagedError: the file is damaged.
        """
        if not self.exists():
            raise BadInputError(f"{self.path}: no study was run here (it has no {PLAN})")
        plan = read_json(self.path / PLAN)
        if not isinstance(plan, dict) or plan.get("format") != 1:
            raise StoreDamagedError(f"{self.path / PLAN}: not a plan of this version")
        broken = [key for key, kind in _PLAN_KEYS.items() if not isinstance(plan.get(key), kind)]
        if broken or not all(map(_is_run, plan["runs"])):
            raise StoreDamagedError(
                f"{self.path / PLAN}: {min(broken, default='runs')} is missing or damaged;"
                " `kdgap run` with the study's file writes it anew"
            )
        return plan

    def selection(self) -> dict[str, Any] | None:
        """Read `selection.json`; None while selection has not ended.

        Raises:
            StoreDamagedError: the file is damaged.
        """
        path = self.path / SELECTION
        if not path.exists():
            return None
        selection = read_json(path)
        choices = selection.get("choices") if isinstance(selection, dict) else None
        if not isinstance(choices, list) or not _have(choices, _CHOICE_KEYS):
            raise StoreDamagedError(
                f"{path}: choices is missing or damaged; `kdgap run` writes it anew"
            )
        return dict(selection)

    def write(self, name: str, value: Any) -> None:
        """Write one of the study's JSON files, unless it says this already."""
        path = self.path / name
        if path.exists() and read_bytes(path) == (json_text(value) + "\n").encode():
            return
        make_folder(path.parent)
        write_json(path, value)

    def locked(self, name: str) -> Any | None:
        """Return what is locked under a name; None if nothing is."""
        path = self.path / "locked" / f"{name}.json"
        return read_json(path) if path.exists() else None

    def lock_fact(self, name: str, value: Any) -> Any:
        """Lock a value under a name if nothing is locked there yet; return what is locked.

        Whoever comes first decides: the file is linked into place, which happens once.
        """
        folder = self.path / "locked"
        make_folder(folder)
        path = folder / f"{name}.json"
        if not path.exists():
            link_new(path, (json_text(value) + "\n").encode())
        return read_json(path)

    def status(self, path: str, *, verify: bool = True) -> RunStatus:
        """Return how a run stands.

        Args:
            path: the run's path in the plan.
            verify: also check a finished run's small files against its manifest.
        """
        directory = self.run(path)
        if link := directory.link():
            return RunStatus("damaged", f"{link}: is a symbolic link")
        if directory.is_done():
            if not verify:
                return RunStatus("done")
            try:
                self.record(path)
            except KdgapError as error:
                return RunStatus("damaged", str(error))
            return RunStatus("done")
        if is_held(directory.path / LOCK):
            return RunStatus("running", holder(directory.path / LOCK))
        if (directory.path / FAILURE).exists():
            return RunStatus("failed", directory.failure())
        return RunStatus("interrupted" if (directory.path / RUN).exists() else "new")

    def found(self) -> list[str]:
        """Return the paths of all run directories on disk, planned or not, and of all links."""
        folder = self.path / "runs"
        if not folder.is_dir():
            return []
        found = []
        for slot in entries(folder):
            if slot.is_symlink():
                found.append(f"runs/{slot.name}")
            elif slot.is_dir():
                found += [
                    f"runs/{slot.name}/{run.name}"
                    for run in entries(slot)
                    if run.is_symlink()
                    or any((run / name).exists() for name in (RUN, MANIFEST, LOCK))
                ]
        return found

    def record(self, path: str, *, hash_weights: bool = False) -> Record:
        """Read a finished run; its weights only have to be there, unless they are hashed.

        Raises:
            BadInputError: it is not finished.
            StoreDamagedError: it is damaged, or another run than its folder says.
        """
        record = self.run(path).read(hash_weights=hash_weights)
        if record.id[:8] != path.rpartition("-")[2]:
            raise StoreDamagedError(
                f"{record.path}: holds run {record.id[:12]}, a copy from elsewhere"
            )
        return record


def _is_run(entry: Any) -> bool:
    """Whether an entry of a plan's runs is one, in a folder below the study's own."""
    return (
        _have([entry], _RUN_KEYS)
        and isinstance(entry["path"], str)
        and re.fullmatch(_RUN_PATH, entry["path"]) is not None
        and isinstance(entry["seed"], int)
        and isinstance(entry.get("parameters", {}), dict)
        and isinstance(entry["slots"], list)
        and len(entry["slots"]) > 0
        and _have(entry["slots"], _SLOT_KEYS)
        and all(slot.keys() <= _SLOT_KEYS | {"variant"} for slot in entry["slots"])
    )


def _have(entries: list[Any], keys: set[str]) -> bool:
    """Whether all entries are objects that have some keys."""
    return all(isinstance(entry, dict) and entry.keys() >= keys for entry in entries)


def study_of(run: Path) -> Path | None:
    """Return the study directory that a run directory belongs to; None for a run of its own."""
    try:
        study = run.resolve().parents[2]
    except IndexError:
        return None
    return study if (study / PLAN).exists() and run.resolve().parents[1].name == "runs" else None
