"""Result files of others, in the reference study's layout: JSON trees, wherever they stand.

Nothing is believed that the files do not show. A file that is torn, unfinished, diverged or
unlike its neighbours is named with the reason, and never averaged in silence.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from kdgap.errors import BadInputError, one_line
from kdgap.files import parse_json
from kdgap.methods import METHODS
from kdgap.methods.method import flat_fields
from kdgap.spec.identity import canonical_json
from kdgap.spec.slot import PLAIN
from kdgap.store.imports.bookkeeping import is_bookkeeping, leaves, without
from kdgap.store.imports.gate import (
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
from kdgap.store.imports.own_names import check_names
from kdgap.store.imports.percent import from_percent
from kdgap.store.imports.recipe import DIGESTS, OF_ALL
from kdgap.store.imports.source_files import RESULTS, PassedOver, Unreadable
from kdgap.store.imports.sources import members
from kdgap.store.instead import own
from kdgap.text import sized

_FIELDS = {name: flat_fields(cls) for name, cls in METHODS.items()}
"""Method → flat key of each of its hyper-parameters → field."""
_REASONS = 3
"""Reasons that are told where no file could be read."""


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
    fidelity: Mapping[str, Any] | None = None
    problem: str = ""
    remarks: list[str] = field(default_factory=list)


def read_foreign(
    source: Path, passed: PassedOver, *, percent: bool = False
) -> tuple[list[ForeignFile], list[Unreadable]]:
    """Read every `results.json`, and the `fidelity.json` beside it, of a folder or an archive.

    Args:
        source: the folder, zip, tar or tar.gz.
        passed: gets what was not read.
        percent: whether accuracies are in percent.

    Raises:
        BadInputError: the source cannot be read, is no folder or archive, is too large, or holds no
            result file.
    """
    read: dict[str, ForeignFile | dict[str, Any] | Unreadable] = {}
    digests: dict[str, str] = {}
    for name, content in members(source, passed):
        if isinstance(content, Unreadable):
            read[name] = content
            continue
        digest = _sha256(content)
        if digests.setdefault(name, digest) != digest:
            why = "two files of this name in the archive differ; neither counts"
            read[name] = Unreadable(name, digests[name], why)
        elif name not in read:
            read[name] = _read(name, content, digest, percent)
    good = [file for _, file in sorted(read.items()) if isinstance(file, ForeignFile)]
    bad = [file for _, file in sorted(read.items()) if isinstance(file, Unreadable)]
    by_folder = {str(PurePosixPath(file.path).parent): file for file in good}
    for name, fidelity in sorted(read.items()):
        if isinstance(fidelity, dict):
            owner = by_folder.get(str(PurePosixPath(name).parent))
            try:
                _give_fidelity(fidelity, owner)
            except OddFileError as error:
                bad.append(Unreadable(name, digests[name], one_line(error, 200)))
    passed.settle(name for name in read if PurePosixPath(name).name == RESULTS)
    if not good:
        raise BadInputError(f"{source}: {_nothing(bad, passed)}{own(source)}")
    return good, bad


def _read(
    name: str, content: bytes, digest: str, percent: bool
) -> ForeignFile | dict[str, Any] | Unreadable:
    """Return a result file, what a `fidelity.json` holds, or why it is neither."""
    try:
        document = read_object(content)
        if percent:
            from_percent(document)
        if PurePosixPath(name).name == RESULTS:
            return _results(name, document, digest)
        check_fidelity(document)
    except OddFileError as error:
        return Unreadable(name, digest, one_line(error, 200))
    return document


def _nothing(bad: list[Unreadable], passed: PassedOver) -> str:
    """Return that nothing was read, why, and what was passed over: one line."""
    why: dict[str, list[Unreadable]] = {}
    for file in bad:  # texts that differ in their numbers alone are one reason
        why.setdefault(re.sub(r"[0-9][0-9.]*", "#", file.why), []).append(file)
    parts = [
        f"{alike[0].why} ({_first([entry.path for entry in alike])})" for alike in why.values()
    ]
    if len(parts) > _REASONS:
        parts[_REASONS:] = [f"and {len(parts) - _REASONS} other reasons"]
    over = [f"{reason} ({_first(passed.paths[reason], n)})" for reason, n in passed.counts.items()]
    start = "no file could be read" if bad else f"holds no {RESULTS}"
    if not bad and not over:
        start += " (each run's stands in a folder of its own, at any depth)"
    clauses = [f"{start}: {'; '.join(parts)}" if parts else start]
    return "; ".join([*clauses, *(["passed over: " + "; ".join(over)] if over else [])])


def _first(paths: list[str], count: int = 0) -> str:
    count = count or len(paths)
    return one_line(paths[0], 100) + (f" and {count - 1} more" if count > 1 else "")


def source_hash(good: list[ForeignFile], bad: list[Unreadable]) -> str:
    """Return a digest of the result files read, whatever they were packed in."""
    pairs = [(f.sha256, f.path) for f in good] + [(f.sha256, f.path) for f in bad]
    lines = sorted(f"{digest} {path}\n" for digest, path in pairs)
    return _sha256("".join(lines).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _results(name: str, results: dict[str, Any], digest: str) -> ForeignFile:
    history = results.pop("history", None)
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise OddFileError("has no history of epochs")
    remarks = check_settings(results)
    check_names(results)
    leaves(results)  # refuses too many
    odd, not_finite = check_outcomes(results)
    epochs, dropped, diverged, odd_numbers = check_history(history)
    file = ForeignFile(name, digest, results, epochs, remarks=remarks + odd + dropped)
    file.problem = f"diverged: {diverged}" if diverged else _problem(results, epochs)
    if not file.problem and (odd_numbers or not_finite):
        file.problem = f"holds numbers that are {UNUSABLE}"
    if not file.problem:
        file.remarks += _contradictions(results, epochs)
    return file


def _problem(results: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """Return why a run is no result."""
    if len(history) < results["epochs"]:
        return f"unfinished: {len(history)} of {results['epochs']} epochs"
    return "has no validation accuracy" if results["best_val_acc"] is None else ""


def _contradictions(results: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    remarks = []
    if len(history) > results["epochs"]:
        remarks.append(f"its history has {len(history)} epochs, but epochs is {results['epochs']}")
    scores = [float(entry["val_acc"]) for entry in history if "val_acc" in entry]
    if len(scores) < len(history) or not scores:
        return [*remarks, "its history lacks validation accuracies"]
    best, epoch = max(scores), results.get("best_val_epoch")
    if best != results["best_val_acc"]:
        remarks.append(f"best_val_acc is {results['best_val_acc']}, its history's best is {best}")
    elif isinstance(epoch, int) and 1 <= epoch <= len(scores) and scores[epoch - 1] != best:
        remarks.append(f"best_val_epoch is {epoch}, but the best epoch is {scores.index(best) + 1}")
    return remarks


def _give_fidelity(fidelity: Mapping[str, Any], owner: ForeignFile | None) -> None:
    if owner is None:
        raise OddFileError(f"there is no readable {RESULTS} beside it")
    ours = {"student_arch": "model", "teacher_arch": "teacher", "student_test_acc": "test_acc_best"}
    for theirs, key in ours.items():
        if fidelity.get(theirs) is not None and fidelity[theirs] != owner.results.get(key):
            raise OddFileError(
                f"left out: its {theirs} is {one_line(repr(fidelity[theirs]), 40)}, but the run's"
                f" {key} is {one_line(repr(owner.results.get(key)), 40)}: it was measured on"
                " another checkpoint"
            )
    owner.fidelity = fidelity


# What a file that lacks a key means by it: older files have fewer keys.
_NEUTRAL = {"no_proj_clip": False, "stem": "cifar", "teacher": None}
# Keys that joined later are left out at their neutral value: older files keep the digests of
# their configurations, as `spec/identity.py` keeps the ids of older runs.
_LATER: dict[str, Any] = {
    "width": 1, "data": "cifar10", "limit": None, "smoke": False, "precision": "fp32",
    "clip_scope": "all",
}  # fmt: skip

KEYS_OF_EVERY_FILE = {*_NEUTRAL, *_LATER}
"""What every file says, if only by leaving it out: no hyper-parameter of a method."""


def settings_of(
    results: Mapping[str, Any], is_aside: Callable[[str], bool] = is_bookkeeping
) -> Mapping[str, Any]:
    """Return everything that makes runs alike; runs that differ here are never averaged.

    Numbers are floats, the epochs apart: a temperature of 4 is one of 4.0.

    Args:
        results: what a result file says.
        is_aside: whether a key, with dots for objects, is no setting.

    Raises:
        KeyError: the model, the method or the epochs are missing.
        ValueError: a number is too large, or something is nested too deeply.
    """
    method = results["kd_type"]
    unused = OF_ALL.difference(_FIELDS[method]) if method in _FIELDS else ()
    settings = {key: v for key, v in results.items() if key not in OUTCOMES and key not in unused}
    stated = without(settings, is_aside).items()
    kept = {key: _normal(value) for key, value in stated if value is not None or key in _NEUTRAL}
    kept["model"], epochs = results["model"], whole(results["epochs"])
    kept["epochs"] = results["epochs"] if epochs is None else epochs
    if "cell" in kept:
        kept.pop("settings", None)  # it says the same, its teacher's seed apart
    for key, usual in (_NEUTRAL | _LATER).items():
        if kept.get(key) is None or kept[key] == usual or (key, method) == ("teacher", PLAIN):
            kept[key] = usual
        if key in _LATER and kept[key] == usual:
            del kept[key]
    return kept


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


def hyperparameters(
    settings: Mapping[str, Any], axes: Collection[str] = ()
) -> Mapping[str, object]:
    """Return the hyper-parameters that mean something for the method, those it declares first.

    Args:
        settings: a run's.
        axes: further keys in which the configurations that were tried of its method differ.
    """
    method = settings["kd_type"]
    flat = {name: key for key, name in _FIELDS.get(method, {}).items()}
    parameters = {
        flat.get(name, name): value
        for name, value in _method_parameters(settings).items()
        if _is_value(value) or isinstance(value, bool)
    }
    values = {key: settings.get(key, parameters.get(key)) for key in _FIELDS.get(method, ())}
    values = {key: value for key, value in values.items() if _is_value(value)}
    values |= {key: parameters[key] for key in sorted(parameters.keys() - values.keys())}
    values |= {key: settings[key] for key in sorted(axes) if settings.get(key) is not None}
    return {k: canonical_json(v) if isinstance(v, list) else v for k, v in values.items()}


def _method_parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `method_parameters` of a study of ours, which says all of them."""
    text = settings.get("method_parameters")
    with suppress(ValueError, RecursionError):
        parameters = parse_json(text) if isinstance(text, str) else None
        if isinstance(parameters, dict):
            return {name: _normal(value) for name, value in parameters.items()}
    return {}


def _is_value(value: Any) -> bool:
    return isinstance(value, str) or is_number(value)


def declared_keys(method: str) -> Collection[str]:
    """Return the flat keys that a method of ours declares; none of another's."""
    return _FIELDS.get(method, {}).keys()


def axes_of(group: Iterable[tuple[int, Mapping[str, Any]]]) -> set[str]:
    """Return the keys in which configurations differ that were tried of one method.

    Args:
        group: seed and settings of each run. What differs from seed to seed alone was not tried.
    """
    by_seed: dict[int, list[Mapping[str, Any]]] = {}
    for seed, settings in group:
        by_seed.setdefault(seed, []).append(settings)
    differ = {
        key
        for first, *rest in by_seed.values()
        for other in rest
        for key in first.keys() | other.keys()
        if first.get(key) != other.get(key)
    }
    return differ - DIGESTS


def same_history(
    first: Sequence[Mapping[str, object]], second: Sequence[Mapping[str, object]]
) -> bool:
    """Whether two histories are equal on the keys that both have: an older file has fewer."""
    return len(first) == len(second) > 0 and all(
        a[key] == b[key] for a, b in zip(first, second, strict=True) for key in a.keys() & b.keys()
    )


def model_text(settings: Mapping[str, object]) -> str:
    """Return a network's name with its width factor."""
    return sized(settings["model"], settings.get("width", 1))
