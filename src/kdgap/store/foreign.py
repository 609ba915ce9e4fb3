"""Result files of others, in the reference study's layout: a folder or a zip of JSON trees.

Nothing is believed that the files do not show. A file that is torn, unfinished, diverged or
unlike its neighbours is named with the reason, and never averaged in silence.
"""

import hashlib
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from kdgap.errors import BadInputError, one_line

RESULTS, FIDELITY = "results.json", "fidelity.json"
MOST_FILES, MOST_BYTES, MOST_FILE_BYTES = 200_000, 4 * 2**30, 64 * 2**20
SHARES = ("best_val_acc", "test_acc_best", "test_acc_final")
_FIDELITY_SHARES = ("student_test_acc", "teacher_test_acc", "top1_agreement", "ece")


class _OddFileError(Exception):
    """A file does not hold what its name says."""


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
    files: dict[str, bytes] = {}
    total = 0
    for name, content in _members(source):
        total += len(content)
        if len(files) == MOST_FILES or total > MOST_BYTES:
            raise BadInputError(
                f"{source}: more than {MOST_FILES:,} result files or {MOST_BYTES / 2**30:g} GiB of"
                " them; import it in parts"
            )
        files[name] = content
    good: list[ForeignFile] = []
    bad: list[Unreadable] = []
    for name in sorted(n for n in files if PurePosixPath(n).name == RESULTS):
        try:
            good.append(_read_results(name, files[name]))
        except _OddFileError as error:
            bad.append(Unreadable(name, _sha256(files[name]), one_line(error, 160)))
    by_folder = {str(PurePosixPath(found.path).parent): found for found in good}
    for name in sorted(n for n in files if PurePosixPath(n).name == FIDELITY):
        owner = by_folder.get(str(PurePosixPath(name).parent))
        try:
            if owner is None:
                raise _OddFileError(f"there is no readable {RESULTS} beside it")
            owner.fidelity = _read_fidelity(files[name], owner)
        except _OddFileError as error:
            bad.append(Unreadable(name, _sha256(files[name]), one_line(error, 160)))
    if not good and not bad:
        raise BadInputError(f"{source}: holds no {RESULTS}")
    return good, bad


def source_hash(good: list[ForeignFile], bad: list[Unreadable]) -> str:
    """Return a digest of the result files read, whatever they were packed in."""
    pairs = [(f.sha256, f.path) for f in good] + [(f.sha256, f.path) for f in bad]
    lines = sorted(f"{digest} {path}\n" for digest, path in pairs)
    return _sha256("".join(lines).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _members(source: Path) -> Iterator[tuple[str, bytes]]:
    wanted = {RESULTS, FIDELITY}
    if source.is_dir():
        for path in sorted(source.rglob("*.json")):
            if path.name in wanted and path.is_file():
                name = path.relative_to(source).as_posix()
                _refuse_size(source, name, path.stat().st_size)
                yield name, path.read_bytes()
        return
    if not source.exists():
        raise BadInputError(f"{source}: no such file or folder")
    try:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if PurePosixPath(info.filename).name in wanted and not info.is_dir():
                    _refuse_size(source, info.filename, info.file_size)
                    yield info.filename, archive.read(info)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadInputError(
            f"{source}: no folder and no readable zip ({one_line(error)})"
        ) from None


def _refuse_size(source: Path, name: str, size: int) -> None:
    if size > MOST_FILE_BYTES:
        raise BadInputError(
            f"{source}: {one_line(name, 120)} has {size:,} bytes; a result file has a few thousand"
        )


def _object(content: bytes) -> tuple[dict[str, Any], bool]:
    """Return a JSON object with every NaN and infinity as None, and whether there were any."""
    found: list[str] = []

    def constant(name: str) -> None:
        found.append(name)

    try:
        value = json.loads(content.decode("utf-8"), parse_constant=constant)
    except UnicodeDecodeError:
        raise _OddFileError("not UTF-8 text") from None
    except RecursionError:
        raise _OddFileError("nested too deeply") from None
    except ValueError as error:
        raise _OddFileError(f"torn or no JSON: {error}") from None
    if not isinstance(value, dict):
        raise _OddFileError("holds no JSON object")
    return value, bool(found)


def _read_results(name: str, content: bytes) -> ForeignFile:
    results, not_finite = _object(content)
    history = results.pop("history", None)
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise _OddFileError("has no history of epochs")
    for key, kind in {"model": str, "kd_type": str, "seed": int, "epochs": int}.items():
        value = results.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _OddFileError(f"{key} is {one_line(repr(value), 40)}, no {kind.__name__}")
    if results["kd_type"] != "none" and not isinstance(results.get("teacher"), str):
        raise _OddFileError(f"{results['kd_type']} without a teacher")
    for key in SHARES:
        value = results.setdefault(key, None)
        if value is not None and not _is_share(value):
            raise _OddFileError(f"{key} is {one_line(repr(value), 40)}, no share of one")
    found = ForeignFile(name, _sha256(content), results, history)
    found.problem = _problem(results, history, not_finite=not_finite)
    if not found.problem:
        found.remarks += _contradictions(results, history)
    return found


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _problem(results: dict[str, Any], history: list[dict[str, Any]], *, not_finite: bool) -> str:
    """Return why a run is no result."""
    for number, entry in enumerate(history, 1):
        losses = {k: v for k, v in entry.items() if k.startswith("loss") or k.endswith("_acc")}
        if any(not isinstance(v, int | float) or not math.isfinite(v) for v in losses.values()):
            return f"diverged: epoch {entry.get('epoch', number)} has no finite loss or accuracy"
    if len(history) < results["epochs"]:
        return f"unfinished: {len(history)} of {results['epochs']} epochs"
    if results["best_val_acc"] is None:
        return "has no validation accuracy"
    if not_finite:
        return "holds numbers that are not finite"
    return ""


def _contradictions(results: dict[str, Any], history: list[dict[str, Any]]) -> list[str]:
    scores = [float(entry["val_acc"]) for entry in history if "val_acc" in entry]
    if len(scores) < len(history) or not scores:
        return ["its history lacks validation accuracies"]
    best, epoch = max(scores), results.get("best_val_epoch")
    said = []
    if best != results["best_val_acc"]:
        said.append(f"best_val_acc is {results['best_val_acc']}, its history's best is {best}")
    elif isinstance(epoch, int) and 1 <= epoch <= len(scores) and scores[epoch - 1] != best:
        said.append(f"best_val_epoch is {epoch}, but the best epoch is {scores.index(best) + 1}")
    return said


def _read_fidelity(content: bytes, owner: ForeignFile) -> dict[str, Any]:
    fidelity, not_finite = _object(content)
    if not_finite:
        raise _OddFileError("holds numbers that are not finite")
    for key in _FIDELITY_SHARES:
        if fidelity.get(key) is not None and not _is_share(fidelity[key]):
            raise _OddFileError(f"{key} is {one_line(repr(fidelity[key]), 40)}, no share of one")
    for key in ("kl_t1", "kl_t4"):
        value = fidelity.get(key)
        if value is not None and not isinstance(value, int | float):
            raise _OddFileError(f"{key} is {one_line(repr(value), 40)}, no number")
    classes = fidelity.get("per_class_acc")
    if classes is not None and (
        not isinstance(classes, dict)
        or not all(v is None or _is_share(v) for v in classes.values())
    ):
        raise _OddFileError("per_class_acc holds something else than shares of one")
    ours = {"student_arch": "model", "teacher_arch": "teacher", "student_test_acc": "test_acc_best"}
    for theirs, key in ours.items():
        if fidelity.get(theirs) is not None and fidelity[theirs] != owner.results.get(key):
            raise _OddFileError(
                f"left out: its {theirs} is {one_line(repr(fidelity[theirs]), 40)}, but the run's"
                f" {key} is {owner.results.get(key)!r}: it was measured on another checkpoint"
            )
    return fidelity


# What a run came to, or what tells one run of a cell from another; all the rest is its settings.
_OUTCOMES = {
    "seed", "history", "run_id", "source", "role", "study",
    "grad_norm_max_overall", "proj_grad_norm_max_overall",
    "best_val_acc", "best_val_epoch", "last_val_acc", "test_acc_best", "test_acc_final",
    "weight_hash_best", "weight_hash_last", "dropped", "flags",
    "selection_metric", "selection_winner",
}  # fmt: skip
# Keys that are said of every run but mean something for one method only.
_UNUSED = {
    "none": ("alpha", "temperature", "feat_beta"),
    "logit": ("feat_beta",),
    "feature": ("temperature",),
}
_NEUTRAL = {"no_proj_clip": False}  # older files lack it


def settings_of(results: dict[str, Any]) -> dict[str, Any]:
    """Return everything that makes runs alike; runs that differ here are never averaged.

    Raises:
        KeyError: the model, the method or the epochs are missing.
    """
    unused = _UNUSED.get(results["kd_type"], ())
    kept = {k: v for k, v in results.items() if k not in _OUTCOMES and k not in unused}
    for name in ("model", "epochs"):
        kept[name] = results[name]
    if "cell" in kept:
        kept.pop("settings", None)  # a study's cell says the same, its teacher's seed apart
    return _NEUTRAL | {key: repr(v) if isinstance(v, dict) else v for key, v in kept.items()}


def hyperparameters(settings: dict[str, Any]) -> dict[str, float]:
    """Return the hyper-parameters that mean something for the method, in the reference's order."""
    names = {"logit": ("alpha", "temperature"), "feature": ("alpha", "feat_beta")}
    found = {name: settings.get(name) for name in names.get(settings["kd_type"], ())}
    return {name: float(v) for name, v in found.items() if isinstance(v, int | float)}


def same_history(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    """Whether two histories are equal on the keys that both have: an older file has fewer."""
    return len(first) == len(second) > 0 and all(
        a[key] == b[key] for a, b in zip(first, second, strict=True) for key in a.keys() & b.keys()
    )


def model_text(settings: dict[str, Any]) -> str:
    """Return a network's name with its width factor."""
    width = settings.get("width", 1)
    return str(settings["model"]) + ("" if width == 1 else f"x{width:g}")
