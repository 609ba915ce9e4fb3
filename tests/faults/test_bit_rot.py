"""Bit rot: whatever happens to one file, what is read is as before, or the damage is named.

A point is one damage to one file. Three readers look at it, as `analyze`, `status` and `verify` do:
each gives exactly what it gave before, or names a fault with exit code 2 or 4. A point that changes
anything without a word is silent, and there is none. The long form takes every byte of a study, or
every n-th (`make faults EVERY=n`), and more of runs in every role.
"""

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kdgap.cli.judging import refuse_damaged
from kdgap.cli.status import _hash_all
from kdgap.errors import KdgapError
from kdgap.judge.study_evidence import study_evidence
from kdgap.store.progress import survey
from kdgap.store.record import RunDirectory
from kdgap.store.study import StudyDirectory
from tests.judge.builders import analyse

STUDY_FILES = ("plan.json", "selection.json", "study.yaml", "locked/data.json",
               "locked/threads.json", "locked/format.json", "locked/preregistration.json",
               "locked/teacher-*.json")  # fmt: skip
RUN_FILES = ("run.json", "history.jsonl", "results.json", "test.json", "manifest.json")
WEIGHTS = ("checkpoint_best.safetensors", "checkpoint_last.safetensors")
PREDICTIONS = ("predictions_val.safetensors", "predictions_test.safetensors")
EVERY = int(os.environ.get("KDGAP_FAULTS_EVERY", "7"))
OUTSIDE = ("timing.json", "attempts.jsonl", ".lock")
Damage = tuple[str, Callable[[Path], object]]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdgap.cli.printing.say", lambda _: None)


def _analysed(directory: StudyDirectory) -> object:
    evidence = study_evidence(directory)
    refuse_damaged(evidence)
    return evidence  # what the analysis says follows from it alone


def _status(directory: StudyDirectory) -> object:
    seen = survey(directory)
    bad = [row.remark for row in seen.rows if row.state == "damaged"] + seen.faults
    if bad:
        raise _named(bad)
    return seen.rows, seen.stale, seen.open_runs


def _verified(directory: StudyDirectory) -> object:
    good, bad, _ = _hash_all(directory, directory.plan())
    if bad:
        raise _named(bad)
    return good


def _named(texts: list[str]) -> KdgapError:
    assert all(len(text.splitlines()) == 1 for text in texts)
    error = KdgapError("; ".join(texts))
    error.exit_code = 4
    return error


READERS = {"analyze": _analysed, "status": _status, "verify": _verified}


def _looked_at(directory: StudyDirectory) -> dict[str, object]:
    """What each reader says; the fault's exit code where one was named."""
    outcomes: dict[str, object] = {}
    for name, reader in READERS.items():
        try:
            outcomes[name] = reader(directory)
        except KdgapError as error:
            outcomes[name] = _code(error)
    return outcomes


def _code(error: KdgapError) -> int:
    """The exit code of a fault that is named as it should be."""
    assert error.exit_code in (2, 4), error
    assert len(str(error).splitlines()) == 1, error
    return error.exit_code


def _outcome(directory: StudyDirectory, before: dict[str, object]) -> str:
    after = _looked_at(directory)
    named = [name for name, outcome in after.items() if isinstance(outcome, int)]
    quiet = [name for name, outcome in after.items() if not isinstance(outcome, int)]
    if any(after[name] != before[name] for name in quiet):
        return "silent"
    return "detected" if named else "harmless"


def _flipped(at: int, value: int) -> Callable[[Path], object]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at] = value
        path.write_bytes(content)

    return flip


def _values(byte: int) -> Iterator[int]:
    """One bit; another digit; another letter."""
    yield byte ^ 1
    if chr(byte).isdigit():
        yield ord("0") + (byte - ord("0") + 3) % 10
    elif chr(byte).isalpha():
        yield ord("a") if byte != ord("a") else ord("b")
    else:
        yield byte ^ 0x10


def _every(path: Path) -> Iterator[Damage]:
    """Flips of every byte, or of every n-th."""
    content = path.read_bytes()
    for at in range(0, len(content), EVERY):
        for value in _values(content[at]):
            yield f"byte {at} becomes {value}", _flipped(at, value)


def _bytes(path: Path, most: int) -> Iterator[Damage]:
    """Flips of so many bytes, drawn with a fixed seed, or of all."""
    content = path.read_bytes()
    places = range(len(content))
    if len(content) > most:
        places = sorted(random.Random(path.name).sample(range(len(content)), most))  # type: ignore[assignment]
    for at in places:
        for value in _values(content[at]):
            yield f"byte {at} becomes {value}", _flipped(at, value)


def _whole(path: Path, others: list[Path]) -> Iterator[Damage]:
    """Truncated, empty, missing, a folder, and another file in its place."""
    size = path.stat().st_size
    yield "truncated by a byte", lambda path: path.write_bytes(path.read_bytes()[:-1])
    yield "half of it", lambda path: path.write_bytes(path.read_bytes()[: size // 2])
    yield "empty", lambda path: path.write_bytes(b"")
    yield "missing", lambda path: path.unlink()
    yield "a folder", _folder
    for other in others:
        yield f"that of {other.parent.name}", partial(Path.write_bytes, data=other.read_bytes())


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _harmless(path: Path, before: bytes) -> bool:
    """Whether a damaged JSON file still says the same."""
    try:
        return bool(json.loads(path.read_text()) == json.loads(before))
    except (OSError, ValueError):
        return False


class _Figures(Counter[str]):
    tell: Callable[[str], None] = staticmethod(print)

    def show(self, title: str) -> None:
        points = sum(self.values())
        counts = ", ".join(f"{name} {self[name]}" for name in ("detected", "harmless", "silent"))
        self.tell(f"bit rot: {title}: {points} points, {counts}")


@pytest.fixture(autouse=True)
def _figures_tell(figures: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Figures, "tell", staticmethod(figures))


def _rot(
    directory: StudyDirectory, names: list[Path], damages: Callable[[Path], Iterable[Damage]]
) -> _Figures:
    """Do each damage to each file, look, and put the file back."""
    before, figures = _looked_at(directory), _Figures()
    assert not any(isinstance(result, int) for result in before.values())
    for path in names:
        content = path.read_bytes()
        for what, damage in list(damages(path)):
            damage(path)
            outcome = _outcome(directory, before)
            promised = path.name not in OUTSIDE
            if promised and outcome == "harmless" and not _harmless(path, content):
                outcome = "silent"
            figures[outcome] += 1
            assert outcome != "silent", f"{path}: {what}"
            if path.is_dir():
                path.rmdir()
            path.write_bytes(content)
    assert _looked_at(directory) == before
    return figures


def _of_the_study(directory: StudyDirectory) -> list[Path]:
    return [path for name in STUDY_FILES for path in sorted(directory.path.glob(name))]


def _of_runs(
    directory: StudyDirectory, names: tuple[str, ...], roles: tuple[str, ...]
) -> list[Path]:
    paths = []
    for role in roles:
        first = next(run for run in directory.plan()["runs"] if role in run["roles"])
        paths += [directory.path / first["path"] / name for name in names]
    return [path for path in paths if path.exists()]


def _twins(directory: StudyDirectory, path: Path) -> list[Path]:
    """The same file of other runs; of locked facts, the other facts."""
    if path.parent.parent.parent.name == "runs":
        others = [directory.path / run["path"] / path.name for run in directory.plan()["runs"]]
    else:
        others = sorted(path.parent.glob("*.json"))
    return [other for other in others if other != path and other.is_file()]


ROLES = ("teacher", "selection", "baseline", "final")


def test_a_file_that_is_torn_lost_or_anothers_is_named(directory: StudyDirectory) -> None:
    names = [
        *_of_the_study(directory),
        *_of_runs(directory, (*RUN_FILES, *WEIGHTS, *PREDICTIONS), ("final",)),
    ]
    figures = _rot(directory, names, lambda path: _whole(path, _twins(directory, path)[:2]))
    figures.show("torn, lost or swapped")
    assert figures["detected"] > 10 * figures["harmless"]  # but for a newline at the end


def test_what_is_outside_every_promise_may_be_anything(directory: StudyDirectory) -> None:
    names = _of_runs(directory, OUTSIDE, ("final",))
    assert len(names) == len(OUTSIDE)
    figures = _rot(directory, names, lambda path: [*_whole(path, []), *_bytes(path, 5)])
    figures.show("outside every promise")
    assert figures["detected"] == 0


@pytest.mark.parametrize("part", ["study", "run"])
def test_a_changed_byte_is_named(directory: StudyDirectory, part: str) -> None:
    names = _of_the_study(directory)
    if part == "run":
        names = _of_runs(directory, (*RUN_FILES, *WEIGHTS, *PREDICTIONS), ("final",))
    figures = _rot(directory, names, lambda path: _bytes(path, 8 if part == "study" else 6))
    figures.show(f"bytes of a {part}")


@pytest.mark.faults
def test_every_byte_of_a_study_is_guarded(directory: StudyDirectory) -> None:
    figures = _rot(directory, _of_the_study(directory), _every)
    figures.show(f"every byte of a study's own files, by {EVERY}")


@pytest.mark.faults
def test_bytes_of_runs_in_every_role_are_guarded(directory: StudyDirectory) -> None:
    names = _of_runs(directory, (*RUN_FILES, *WEIGHTS, *PREDICTIONS), ROLES)
    figures = _rot(
        directory,
        names,
        lambda path: [*_whole(path, _twins(directory, path)), *_bytes(path, 400 // EVERY)],
    )
    figures.show("runs of every role")


def _read(directory: RunDirectory) -> Any:
    try:
        record = directory.read()
    except KdgapError as error:
        return None if _code(error) else error
    return record.run, record.results, record.test


def _rot_of_a_run(directory: RunDirectory, most: int, title: str) -> None:
    """Damage a run's own files; its record is as before, or it is named."""
    before, figures = _read(directory), _Figures()
    assert before is not None
    for path in (directory.path / name for name in (*RUN_FILES, *WEIGHTS, *PREDICTIONS)):
        content = path.read_bytes()
        for what, damage in [*_whole(path, []), *_bytes(path, most)]:
            damage(path)
            after = _read(directory)
            if path.name == "manifest.json" and not path.is_dir() and _harmless(path, content):
                assert after == before
            else:
                assert after is None, f"{path}: {what}"
            figures["harmless" if after else "detected"] += 1
            if path.is_dir():
                path.rmdir()
            path.write_bytes(content)
    figures.show(title)


@pytest.mark.parametrize(
    "most", [25, pytest.param(4000, marks=pytest.mark.faults, id="every byte")]
)
def test_a_run_by_itself_is_what_it_was_or_damaged(
    pristine: StudyDirectory, tmp_path: Path, most: int
) -> None:
    final = next(run for run in pristine.plan()["runs"] if "final" in run["roles"])
    shutil.copytree(pristine.path / final["path"], tmp_path / "run")
    _rot_of_a_run(RunDirectory(tmp_path / "run"), most, f"a run by itself, up to {most} bytes")


def test_the_analysis_follows_from_the_evidence_alone(directory: StudyDirectory) -> None:
    """What `_analysed` compares is enough: two readings give one analysis."""
    first, second = (analyse(study_evidence(directory)) for _ in range(2))
    assert first == second
