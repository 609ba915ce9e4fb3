"""A study's directory: what was asked, the plan, what is locked, and the runs.

| file | what it holds | guarded by |
|---|---|---|
| `study.yaml` | the study as it was last run | its SHA-256 in `plan.json` |
| `plan.json` | the resolved plan: runs, slots, costs, methods; what reading a study needs | seal |
| `selection.json` | the winners and what they were chosen from, once selection has ended | seal |
| `locked/NAME.json` | what may not change any more: data, threads, teachers | seal |
| `locked/preregistration.json` | the protocol when the first final was tested | its hash |
| `live/MACHINE-PID.json` | what a runner is doing right now | nothing |
| `live/MACHINE-PID.left` | how long the rest takes, as `kdgap run` shows it right now | nothing |
| `.mirror.json` | of a study at a URL, what was fetched | nothing |
| `.plan-lock` | held by the runner that checks and writes `plan.json` | nothing |
| `runs/SLOT/SEED-ID/` | one directory a run | see `record.py` |

What nothing guards is outside every promise: it is passed over where it is odd, and named. Whether
the rest agrees with the records of the runs is looked at in `audit.py`.
"""

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdgap.advice import command
from kdgap.errors import BadInputError, KdgapError, StoreDamagedError, UnreadableError
from kdgap.files import (
    TEMPORARY_PREFIX,
    entries,
    json_text,
    link_new,
    make_folder,
    names_in,
    read_bytes,
    read_json,
    read_text,
    write_atomic,
)
from kdgap.store.instead import PLAN as PLAN
from kdgap.store.instead import STUDY as STUDY
from kdgap.store.instead import instead, is_study
from kdgap.store.locks import PROBE, holder, is_held
from kdgap.store.record import FAILURE, LOCK, MANIFEST, RUN, TEST, Record, RunDirectory
from kdgap.store.schema.gate import checked
from kdgap.store.schema.study import PlanFile, SelectionFile, is_fact
from kdgap.store.seal import opened, read_sealed, sealed, sealed_bytes
from kdgap.store.witness import Witness, as_recorded, recorded_facts

SELECTION = "selection.json"
PLAN_LOCK = ".plan-lock"
LOCKED = "locked"
SEEN = ".mirror.json"
"""In the mirror of a study at a URL: what of it was fetched."""
PREREGISTRATION = "preregistration"
DOORS = ("final", "baseline", "teacher", "ablation")
"""Roles whose runs are tested; a run with several is tested in the first of them."""
LATE = "registered again, after finals had been tested: not what was locked before"
"""In place of the hash of a pre-registration that was lost and cannot be believed any more."""
CHANGE = "# --set "
"""How a line at the top of a study's kept file begins that says what was given beside the file."""
RunState = Literal["done", "failed", "running", "interrupted", "new", "damaged"]


@dataclass(frozen=True)
class RunStatus:
    """How a run stands, a word about it where there is something to say, and a verified record.

    `unreadable` says of a damaged run that a file could not be read, so that it may be whole.
    """

    state: RunState
    remark: str = ""
    record: Record | None = None
    unreadable: bool = False


class StudyDirectory:
    """One study's directory; see the module for its files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether a study was ever run here; its plan may be lost."""
        return is_study(self.path)

    def _has_plan(self) -> bool:
        return (self.path / PLAN).exists()

    def again(self, *, own: bool = True) -> str:
        """Return the end of an error: which command writes the study's own files anew.

        Args:
            own: whether the study's file that is kept here is what was last run.
        """
        path, changes = self.path / STUDY, []
        try:
            for line in read_text(path).split("\n"):
                if not line.startswith(CHANGE):
                    break
                changes += ["--set", line.removeprefix(CHANGE)]
        except (OSError, UnicodeDecodeError):
            own = False
        if own:
            return f"; `{command('run', path, *changes, '--out', self.path)}` writes it anew"
        way = command("run", "FILE", "--out", self.path)
        return f"; `{way}`, with the study's own file in place of FILE, writes it anew"

    def refuse_other(self) -> None:
        """Refuse a folder that holds something that is no study.

        Raises:
            BadInputError: naming what is there and how to go on.
        """
        if self.path.is_symlink():
            raise BadInputError(f"{self.path}: is a symbolic link; name a real folder")
        if self.path.is_file():
            raise BadInputError(f"{self.path}: is a file; name a folder for the study with --out")
        if not self.path.is_dir() or self.exists():
            return
        # A first start that was killed leaves some of these, and files half written.
        ours = {STUDY, PLAN_LOCK, PROBE, LOCKED, SEEN}
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
        path = self.path / PLAN
        if not self.exists():
            raise BadInputError(
                f"{self.path}: no study was run here (it has no {PLAN}){instead(self.path)}"
            )
        if not self._has_plan():
            raise StoreDamagedError(f"{path}: is gone{self.again()}")
        try:
            plan = read_sealed(path)
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{error}{self.again()}") from None
        checked(PlanFile, plan, path, self.again())
        return plan

    def selection(self) -> dict[str, Any] | None:
        """Read `selection.json`; None while selection has not ended.

        Raises:
            StoreDamagedError: the file is damaged.
        """
        path = self.path / SELECTION
        if not path.exists():
            return None
        again = f"; `{command('run', self.path)}` writes it anew"
        try:
            selection = read_sealed(path)
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{error}{again}") from None
        checked(SelectionFile, selection, path, again)
        return selection

    def write(self, name: str, value: Mapping[str, object]) -> None:
        """Write one of the study's own files, sealed, unless it says this already."""
        path, content = self.path / name, sealed_bytes(value)
        if path.exists() and read_bytes(path) == content:
            return
        make_folder(path.parent)
        write_atomic(path, content)

    def locked(self, name: str) -> Any | None:
        """Return what is locked under a name; None if nothing is.

        A pre-registration is returned whatever became of it: `is_whole` tells.

        Raises:
            StoreDamagedError: what is locked is damaged.
        """
        path = self._lock_path(name)
        return self._fact(name) if path.exists() else None

    def _lock_path(self, name: str) -> Path:
        return self.path / LOCKED / f"{name}.json"

    def _fact(self, name: str) -> Any:
        path = self._lock_path(name)
        if name == PREREGISTRATION:
            try:
                content = read_json(path)
            except UnreadableError:
                raise  # it may be whole: nothing is known of it
            except StoreDamagedError:
                content = None
            return content if isinstance(content, dict) else {}
        content = read_json(path)
        if isinstance(content, dict) and ("value" in content or "checksum" in content):
            content = opened(content, path)
            if content.get("name") != name:
                raise StoreDamagedError(f"{path}: is of another name, {content.get('name')!r}")
            content = content.get("value")
        if not is_fact(name, content):
            raise StoreDamagedError(f"{path}: holds nothing that can be locked under this name")
        return content

    def lock_fact(self, name: str, value: Any) -> Any:
        """Lock a value under a name if nothing is locked there yet; return what is locked.

        Whoever comes first decides: the file is linked into place, which happens once.
        """
        make_folder(self.path / LOCKED)
        path = self._lock_path(name)
        if not path.exists():
            value = self._as_recorded(name, value)
            content = sealed({"name": name, "value": value})
            if name == PREREGISTRATION:  # it carries its own hash
                content = {**value, "sha256": LATE} if self.tested() else value
            link_new(path, (json_text(content) + "\n").encode())
        return self._fact(name)

    def _as_recorded(self, name: str, value: Any) -> Any:
        """Return what to lock: what the finished runs had, where there are any.

        Raises:
            BadInputError: they had other data.
        """
        plan = self.plan() if self._has_plan() else {"runs": []}
        witnesses: dict[str, Witness] = {}
        for run in plan["runs"]:
            if self.run(run["path"]).is_done():
                with suppress(KdgapError):  # damaged: named elsewhere
                    witnesses[run["id"]] = Witness.of(self.record(run["path"]))
        facts = recorded_facts(plan, witnesses).get(name, set()) if witnesses else set()
        if len(facts) != 1 or facts == {as_recorded(value)}:
            return value
        if not isinstance(value, dict):
            return facts.pop()
        raise BadInputError(
            f"{self._lock_path(name)}: is gone, and the data is not what the finished runs had"
            f" (fingerprint {as_recorded(value)[:12]}, theirs {str(facts.pop())[:12]}); bring back"
            " the data, or use another --out"
        )

    def tested(self) -> list[str]:
        """Return the paths of planned runs that were tested as finals or ablations."""
        if not self._has_plan():
            return []
        tested_as = {
            run["path"]: next((role for role in DOORS if role in run["roles"]), None)
            for run in self.plan()["runs"]
        }
        return [
            path
            for path, role in tested_as.items()
            if role in ("final", "ablation") and (self.path / path / TEST).exists()
        ]

    def status(self, path: str, *, verify: bool = True) -> RunStatus:
        """Return how a run stands.

        Args:
            path: the run's path in the plan.
            verify: also check a finished run's small files against its manifest.
        """
        directory = self.run(path)
        if link := directory.link():
            return RunStatus("damaged", f"{link}: is a symbolic link")
        if not directory.is_done():
            if is_held(directory.path / LOCK):
                return RunStatus("running", holder(directory.path / LOCK))
            if (directory.path / FAILURE).exists():
                return RunStatus("failed", directory.failure())
            if not directory.lost_manifest():
                return RunStatus("interrupted" if (directory.path / RUN).exists() else "new")
        elif not verify:
            return RunStatus("done")
        try:
            record = self.record(path)
        except KdgapError as error:
            unreadable = isinstance(error, UnreadableError)
            return RunStatus("damaged", str(error), unreadable=unreadable)
        return RunStatus("done", record=record)

    def run_paths(self, besides: Container[str] = ()) -> list[str]:
        """Return the paths of all run directories on disk, planned or not, and of all links.

        Args:
            besides: paths that are left out.
        """
        folder = self.path / "runs"
        if not folder.is_dir():
            return []
        paths = []
        for slot in entries(folder):
            if slot.is_symlink():
                paths.append(f"runs/{slot.name}")
            elif slot.is_dir():
                paths += [
                    f"runs/{slot.name}/{run.name}"
                    for run in entries(slot)
                    if not run.name.startswith(TEMPORARY_PREFIX)  # being removed
                    if f"runs/{slot.name}/{run.name}" not in besides
                    if run.is_symlink()
                    or any((run / name).exists() for name in (RUN, MANIFEST, LOCK))
                ]
        return paths

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


def study_of(run: Path) -> Path | None:
    """Return the study directory that a run directory belongs to; None for a run of its own."""
    try:
        study = run.resolve().parents[2]
    except IndexError:
        return None
    inside = run.resolve().parents[1].name == "runs"
    return study if inside and StudyDirectory(study).exists() else None
