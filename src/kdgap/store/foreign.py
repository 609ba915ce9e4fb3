"""Result files of others, in the reference study's layout: a folder or a zip of JSON trees.

Nothing is believed that the files do not show. A file that is torn, unfinished, diverged or
unlike its neighbours is named with the reason, and never averaged in silence.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from kdgap.errors import BadInputError, one_line
from kdgap.files import read_bytes
from kdgap.spec.identity import canonical_json
from kdgap.store.gate import (
    OUTCOMES,
    UNUSABLE,
    OddFileError,
    check_fidelity,
    check_history,
    check_outcomes,
    check_settings,
    is_number,
    read_object,
    whole,
)

RESULTS, FIDELITY = "results.json", "fidelity.json"
MOST_FILES, MOST_BYTES, MOST_FILE_BYTES = 200_000, 4 * 2**30, 64 * 2**20


@dataclass
class ForeignFile:
    """One `results.json` with what stands beside it.

    Attributes:
        path: its place in the source, with forward slashes.
        sha256: of its bytes.
        results: its keys, without the history; not-a-number is None.
        history: its epochs.
        fidelity: the `fidelity.json` of the same folder, if it belongs to these results.
        problem: why the run is no result, such as a divergence; empty for a good one.
        remarks: what else a reader has to know of it.
    """

    path: str
    sha256: str
    results: dict[str, Any]
    history: list[dict[str, Any]]
    fidelity: dict[str, Any] | None = None
    problem: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Unreadable:
    """A file that holds no results at all, and why."""

    path: str
    sha256: str
    why: str


def read_foreign(source: Path) -> tuple[list[ForeignFile], list[Unreadable]]:
    """Read every `results.json`, and the `fidelity.json` beside it, of a folder or a zip.

    Raises:
        BadInputError: the source cannot be read, is no folder or zip, is too large, or holds no
            result file.
    """
    files, bad = _files(source)
    good: list[ForeignFile] = []
    for name in sorted(n for n in files if PurePosixPath(n).name == RESULTS):
        try:
            good.append(_read_results(name, files[name]))
        except OddFileError as error:
            bad.append(Unreadable(name, _sha256(files[name]), one_line(error, 160)))
    by_folder = {str(PurePosixPath(found.path).parent): found for found in good}
    for name in sorted(n for n in files if PurePosixPath(n).name == FIDELITY):
        owner = by_folder.get(str(PurePosixPath(name).parent))
        try:
            if owner is None:
                raise OddFileError(f"there is no readable {RESULTS} beside it")
            owner.fidelity = _read_fidelity(files[name], owner)
        except OddFileError as error:
            bad.append(Unreadable(name, _sha256(files[name]), one_line(error, 160)))
    if not good and not bad:
        raise BadInputError(f"{source}: holds no {RESULTS}")
    return good, bad


def source_hash(good: list[ForeignFile], bad: list[Unreadable]) -> str:
    """Return a digest of the result files read, whatever they were packed in."""
    pairs = [(f.sha256, f.path) for f in good] + [(f.sha256, f.path) for f in bad]
    lines = sorted(f"{digest} {path}\n" for digest, path in pairs)
    return _sha256("".join(lines).encode())


def text_of(path: Path | str) -> str:
    """Return a path as text that any file can hold: a byte that is no UTF-8 as `\\xff`."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(source: Path) -> tuple[dict[str, bytes], list[Unreadable]]:
    """Return the content of each file by its place, and those that could not be read."""
    files: dict[str, bytes] = {}
    bad: list[Unreadable] = []
    twice: set[str] = set()
    total = 0
    for name, content in _members(source):
        if isinstance(content, Unreadable):
            bad.append(content)
            continue
        total += len(content)
        if len(files) == MOST_FILES or total > MOST_BYTES:
            raise BadInputError(
                f"{source}: more than {MOST_FILES:,} result files or {MOST_BYTES / 2**30:g} GiB of"
                " them; import it in parts"
            )
        if files.setdefault(name, content) != content:
            twice.add(name)
    for name in sorted(twice):
        why = "two files of this name in the zip differ; neither counts"
        bad.append(Unreadable(name, _sha256(files.pop(name)), why))
    return files, bad


def _members(source: Path) -> Iterator[tuple[str, bytes | Unreadable]]:
    wanted = {RESULTS, FIDELITY}
    if source.is_dir():
        for path in sorted(source.rglob("*.json")):
            if path.name in wanted and path.is_file():
                name = text_of(path.relative_to(source).as_posix())
                try:
                    _refuse_size(source, name, path.stat().st_size)
                    content: bytes | Unreadable = read_bytes(path)
                except OSError as error:
                    content = Unreadable(name, "", error.strerror or "cannot be read")
                yield name, content
        return
    if not source.exists():
        raise BadInputError(f"{source}: no such file or folder")
    try:
        archive = zipfile.ZipFile(source)
    except Exception as error:  # noqa: BLE001  # see below
        raise BadInputError(
            f"{source}: no folder and no readable zip ({one_line(error)})"
        ) from None
    with archive:
        for info in archive.infolist():
            name = text_of(info.filename.replace("\\", "/"))  # some Windows tools write them
            if PurePosixPath(name).name in wanted and not info.is_dir():
                _refuse_size(source, name, info.file_size)
                try:
                    content = archive.read(info)
                # A flipped byte reaches the decoders, each with errors of its own (`zlib.error`,
                # `LZMAError`, `struct.error`, …), and no list of them is documented.
                except Exception as error:  # noqa: BLE001
                    why = f"damaged in the zip: {one_line(error, 100)}"
                    content = Unreadable(name, "", why)
                yield name, content


def _refuse_size(source: Path, name: str, size: int) -> None:
    if size > MOST_FILE_BYTES:
        raise BadInputError(
            f"{source}: {one_line(name, 120)} has {size:,} bytes; a result file has a few thousand"
        )


def _read_results(name: str, content: bytes) -> ForeignFile:
    results = read_object(content)
    history = results.pop("history", None)
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise OddFileError("has no history of epochs")
    remarks = check_settings(results)
    odd, not_finite = check_outcomes(results)
    epochs, dropped, failure = check_history(history)
    found = ForeignFile(name, _sha256(content), results, epochs, remarks=remarks + odd + dropped)
    found.problem = failure if failure.startswith("diverged") else _problem(results, epochs)
    if not found.problem and (failure or not_finite):
        found.problem = f"holds numbers that are {UNUSABLE}"
    if not found.problem:
        found.remarks += _contradictions(results, epochs)
    return found


def _problem(results: dict[str, Any], history: list[dict[str, Any]]) -> str:
    """Return why a run is no result."""
    if len(history) < results["epochs"]:
        return f"unfinished: {len(history)} of {results['epochs']} epochs"
    return "has no validation accuracy" if results["best_val_acc"] is None else ""


def _contradictions(results: dict[str, Any], history: list[dict[str, Any]]) -> list[str]:
    said = []
    if len(history) > results["epochs"]:
        said.append(f"its history has {len(history)} epochs, but epochs is {results['epochs']}")
    scores = [float(entry["val_acc"]) for entry in history if "val_acc" in entry]
    if len(scores) < len(history) or not scores:
        return [*said, "its history lacks validation accuracies"]
    best, epoch = max(scores), results.get("best_val_epoch")
    if best != results["best_val_acc"]:
        said.append(f"best_val_acc is {results['best_val_acc']}, its history's best is {best}")
    elif isinstance(epoch, int) and 1 <= epoch <= len(scores) and scores[epoch - 1] != best:
        said.append(f"best_val_epoch is {epoch}, but the best epoch is {scores.index(best) + 1}")
    return said


def _read_fidelity(content: bytes, owner: ForeignFile) -> dict[str, Any]:
    fidelity = read_object(content)
    check_fidelity(fidelity)
    ours = {"student_arch": "model", "teacher_arch": "teacher", "student_test_acc": "test_acc_best"}
    for theirs, key in ours.items():
        if fidelity.get(theirs) is not None and fidelity[theirs] != owner.results.get(key):
            raise OddFileError(
                f"left out: its {theirs} is {one_line(repr(fidelity[theirs]), 40)}, but the run's"
                f" {key} is {one_line(repr(owner.results.get(key)), 40)}: it was measured on"
                " another checkpoint"
            )
    return fidelity


# Keys that are said of every run but mean something for one method only.
_UNUSED = {
    "none": ("alpha", "temperature", "feat_beta"),
    "logit": ("feat_beta",),
    "feature": ("temperature",),
}
# What a file that lacks a key means by it: older files have fewer keys.
_NEUTRAL = {"no_proj_clip": False, "stem": "cifar", "teacher": None}
# Keys that joined later are left out at their neutral value: the cells of older files keep their
# digests, as `spec/identity.py` keeps the ids of older runs.
_LATER: dict[str, Any] = {
    "width": 1, "data": "cifar10", "limit": None, "smoke": False, "precision": "fp32",
    "clip_scope": "all",
}  # fmt: skip


# Where and when a run was made, which says nothing of what may be averaged.
_BOOKKEEPING = {
    *("output_dir", "run_dir", "data_root", "num_workers", "timestamp", "date", "host", "hostname"),
}


def settings_of(results: dict[str, Any]) -> dict[str, Any]:
    """Return everything that makes runs alike; runs that differ here are never averaged.

    Numbers are floats, the epochs apart: a temperature of 4 is one of 4.0.

    Raises:
        KeyError: the model, the method or the epochs are missing.
        ValueError: a number is too large, or something is nested too deeply.
    """
    method = results["kd_type"]
    unused = _UNUSED.get(method, ())
    kept = {
        key: _normal(value)
        for key, value in results.items()
        if key not in OUTCOMES | _BOOKKEEPING and key not in unused
    }
    kept["model"], epochs = results["model"], whole(results["epochs"])
    kept["epochs"] = results["epochs"] if epochs is None else epochs
    if "cell" in kept:
        kept.pop("settings", None)  # a study's cell says the same, its teacher's seed apart
    for key, usual in (_NEUTRAL | _LATER).items():
        if kept.get(key) is None or kept[key] == usual or (key, method) == ("teacher", "none"):
            kept[key] = usual
        if key in _LATER and kept[key] == usual:
            del kept[key]
    return kept


# What a method changes; the rest of a run's settings is the recipe it shares with its baseline.
_OF_METHOD = {
    *("teacher", "kd_type", "alpha", "temperature", "feat_beta", "no_proj_clip", "clip_scope"),
    *("method_parameters", "teacher_weight_hash", "cell", "settings"),
}


def recipe_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a method's run shares with the run it is compared with."""
    return {key: value for key, value in settings.items() if key not in _OF_METHOD}


def _normal(value: Any, depth: int = 0) -> Any:
    """Return a setting in the one form that equal settings have."""
    if depth > 20:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return canonical_json({key: _normal(inner, depth + 1) for key, inner in value.items()})
    if isinstance(value, list):
        return [_normal(inner, depth + 1) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 2**1023:
            raise ValueError("a number is too large")
        return float(value)
    return value


def hyperparameters(settings: dict[str, Any]) -> dict[str, float]:
    """Return the hyper-parameters that mean something for the method, in the reference's order."""
    names = {"logit": ("alpha", "temperature"), "feature": ("alpha", "feat_beta")}
    found = {name: settings.get(name) for name in names.get(settings["kd_type"], ())}
    return {name: float(v) for name, v in found.items() if is_number(v)}


def same_history(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    """Whether two histories are equal on the keys that both have: an older file has fewer."""
    return len(first) == len(second) > 0 and all(
        a[key] == b[key] for a, b in zip(first, second, strict=True) for key in a.keys() & b.keys()
    )


def model_text(settings: dict[str, Any]) -> str:
    """Return a network's name with its width factor."""
    width = settings.get("width", 1)
    if not isinstance(width, int | float):
        return f"{settings['model']}x{width}"
    return str(settings["model"]) + ("" if width == 1 else f"x{width:g}")
