"""The gate for others' JSON: past it, every value has the type that its readers rely on.

| what | where it is something else |
|---|---|
| what tells runs apart: model, method, seed, hyper-parameters and every other setting | no result |
| an outcome or a number of an epoch that is not finite, or beyond `LARGEST` | the run failed |
| an outcome or a number of an epoch that is no number at all | dropped, and named |
| anything of `fidelity.json` that is judged | the whole file is left out, and named |

Fields of an epoch that nothing reads are kept if they are numbers and dropped without a word if
not: a date is no contradiction.

Reading a file takes time and memory in proportion to its bytes, which `sources.py` bounds:

| what of a file | bound | beyond it |
|---|---|---|
| values, counted by commas and brackets before anything is parsed | `MOST_VALUES` | no result |
| settings, with those in objects; a key of one | `MOST_SETTINGS`; 1,000 characters | no result |
| nesting | 16 levels | no result |
| digits of a whole number | 20; a float beyond that, which has a size | – |
| text | none of its own: it is looked at a fixed number of times | – |
| remarks | `MOST_REMARKS` | counted |
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from kdgap.errors import one_line
from kdgap.files import decode_text
from kdgap.methods import UNTAUGHT
from kdgap.notice import are_written
from kdgap.placeholder import HEAD_BYTES, placeholder

LARGEST = 1e30
"""No loss, norm or divergence of use is beyond it, and its fourth power is still a float."""
UNUSABLE = "not finite or too large"
_UNQUOTED = "; write it without quotation marks"
MOST_EPOCHS, MOST_VALUES, MOST_SETTINGS, MOST_REMARKS, _DEEPEST = 10**7, 10**6, 1000, 20, 16
SHARES = ("best_val_acc", "test_acc_best", "test_acc_final")
_FIDELITY_SHARES = ("student_test_acc", "teacher_test_acc", "top1_agreement", "ece")
_NORMS = ("grad_norm_max_overall", "proj_grad_norm_max_overall")
OUTCOMES = {
    "seed", "history", "run_id", "source", "role", "study", "study_arm", *_NORMS, *SHARES,
    "best_val_epoch", "last_val_acc", "weight_hash_best", "weight_hash_last", "dropped", "flags",
    "notices", "selection_metric", "selection_winner", "study_method", "study_ablation",
}  # fmt: skip
"""What a run came to, or what tells runs of one configuration apart; all the rest is settings."""


class OddFileError(Exception):
    """A file does not hold what its name says."""


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether something is a number to compute with: no truth value, finite, within reason."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST <= value <= LARGEST  # false for not-a-number as well
    )


def is_share(value: object) -> TypeGuard[int | float]:
    """Whether something is a share of one."""
    return is_number(value) and 0 <= value <= 1


def whole(value: object) -> int | None:
    """Return a whole number of up to 64 bits, also where it is written as 4.0; None otherwise."""
    if not is_number(value) or not float(value).is_integer():
        return None
    return int(value) if -(2**63) <= value < 2**64 else None


def _not_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not is_number(value)


def _shown(value: object) -> str:
    return one_line(repr(value), 40)


def read_object(content: bytes) -> dict[str, Any]:
    """Parse a JSON object; a number that no float holds is infinite, as `1e999` is.

    Raises:
        OddFileError: it is torn, no object, holds a key twice or more values than a result has, or
            cannot be written again.
    """
    if what := placeholder(content[:HEAD_BYTES]):
        raise OddFileError(what)
    try:
        text = decode_text(content)
    except UnicodeDecodeError:
        raise OddFileError("not UTF-8 text") from None
    values = sum(map(text.count, ",[{"))
    if values > MOST_VALUES:
        raise OddFileError(f"holds up to {values:,} values; a result has a few thousand")
    try:
        value = json.loads(text, parse_int=_integer, object_pairs_hook=_each_key_once)
    except RecursionError:
        raise OddFileError("nested too deeply") from None
    except ValueError as error:
        raise OddFileError(f"torn or no JSON: {error}") from None
    if not isinstance(value, dict):
        raise OddFileError("holds no JSON object")
    _refuse_deep(value)
    # Half of a surrogate pair is a string that no file can hold.
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise OddFileError("holds text that is no Unicode") from None
    return value


def read_finite(content: bytes) -> Mapping[str, Any]:
    """Parse a JSON object as `read_object` does, of finite numbers alone.

    Raises:
        OddFileError: see `read_object`; or a number is not finite.
    """
    value = read_object(content)
    if not all(map(math.isfinite, _numbers(value))):
        raise OddFileError("holds numbers that are not finite")
    return value


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= 20 else float(text)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise OddFileError(f"holds {one_line(twice, 40)} twice")
    return entries


def _refuse_deep(value: Any) -> None:
    """Refuse what a function that calls itself, such as `repr`, could not walk through."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise OddFileError("nested too deeply")


def _numbers(value: Any) -> Iterator[Any]:
    """Return every number in a value, truth values apart."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_Types = dict[str, tuple[Callable[[object], bool], str]]
_NUMBERS = ("alpha", "temperature", "feat_beta", "width")
_SETTING_TYPES: _Types = {
    **dict.fromkeys(_NUMBERS, (is_number, "number")),
    "width": (lambda value: is_number(value) and value > 0, "number above zero"),
    **dict.fromkeys(("stem", "data", "teacher"), (_is_text, "text")),
    "no_proj_clip": (lambda value: isinstance(value, bool), "truth value"),
}
_OUTCOME_TYPES: _Types = {
    "best_val_epoch": (lambda value: whole(value) is not None, "epoch"),
    **dict.fromkeys(_NORMS, (is_number, "number")),
    **dict.fromkeys(("role", "run_id"), (_is_text, "text")),
    "flags": (_are_texts, "list of texts"),
    "notices": (are_written, "list of notices"),
}
"""What something reads, and what it must be; None stands for what is not there."""
Epochs = list[dict[str, Any]]


def check_settings(results: dict[str, Any]) -> list[str]:
    """Check in place what tells runs apart; return what a reader has to know of it.

    Raises:
        OddFileError: naming the first value that cannot be.
    """
    for key in ("model", "kd_type"):
        value = results.get(key)
        if not isinstance(value, str) or not value.strip():
            raise OddFileError(f"{key} is {_shown(value)}, no name")
    for key in ("seed", "epochs"):
        number = whole(results.get(key))
        if number is None or (key == "epochs" and not 1 <= number <= MOST_EPOCHS):
            kind = "whole number" if key == "seed" else "number of epochs"
            hint = _UNQUOTED if _is_text(results.get(key)) else ""
            raise OddFileError(f"{key} is {_shown(results.get(key))}, no {kind}{hint}")
        results[key] = number
    for key, (fits, kind) in _SETTING_TYPES.items():
        value = results.get(key)
        if value is not None and not fits(value):
            quoted = key in _NUMBERS and _is_text(value)
            hint = _UNQUOTED if quoted else ""
            raise OddFileError(f"{key} is {_shown(value)}, no {kind}{hint}")
    if results["kd_type"] not in UNTAUGHT and not results.get("teacher"):
        raise OddFileError(f"{one_line(results['kd_type'], 40)} without a teacher")
    for key, value in results.items():
        if key not in OUTCOMES and not all(map(is_number, _numbers(value))):
            raise OddFileError(f"{one_line(key, 40)} holds a number that is {UNUSABLE}")
    unsaid = [key for key in ("width", "stem", "data") if results.get(key, "") is None]
    return [f"{key} is null: taken as the usual one" for key in unsaid]


def check_outcomes(results: dict[str, Any]) -> tuple[list[str], bool]:
    """Check in place what a run came to.

    Returns:
        What was dropped, and whether there were numbers that are not finite.

    Raises:
        OddFileError: an accuracy is no share of one.
    """
    odd, not_finite = [], False
    for key in [key for key in results if key in OUTCOMES]:
        if not all(map(is_number, _numbers(results[key]))):
            results[key], not_finite = None, True
    for key in SHARES:
        value = results.setdefault(key, None)
        if value is not None and not is_share(value):
            raise OddFileError(f"{key} is {_shown(value)}, no share of one{_percent_hint(value)}")
    epoch = whole(results.get("best_val_epoch"))
    if epoch is not None:
        results["best_val_epoch"] = epoch
    for key, (fits, kind) in _OUTCOME_TYPES.items():
        value = results.get(key)
        if value is not None and not fits(value):
            odd.append(f"{key} is {_shown(value)}, no {kind}: left out")
            good = value if key == "flags" and isinstance(value, list) else []
            results[key] = [flag for flag in good if isinstance(flag, str)] or None
    return odd, not_finite


def _percent_hint(value: object) -> str:
    """Return what to do about an accuracy that is no share of one."""
    if is_number(value) and 1 < value <= 100:
        return "; if accuracies are in percent, import with --percent"
    return _UNQUOTED if _is_text(value) else ""


def check_history(history: Sequence[Mapping[str, Any]]) -> tuple[Epochs, list[str], str, bool]:
    """Return numbers alone, what was dropped, where it diverged, and if others are infinite."""
    kept: Epochs = []
    odd: dict[str, str] = {}
    ranges: dict[str, tuple[float, float]] = {}
    diverged, not_finite = "", False
    for number, entry in enumerate(history, 1):
        good: dict[str, Any] = {}
        for key, value in entry.items():
            if type(value) is float:  # nearly every value is one, and is as it should be
                least, most = ranges.get(key) or ranges.setdefault(key, _range(key))
                if least <= value <= most:
                    good[key] = value
                    continue
            fits = _epoch_value(key, value)
            if fits is not None:
                good[key] = fits
                if fits == value:
                    continue
            if _measures(key) and (value is None or _not_finite(value)):
                where = entry.get("epoch") if is_number(entry.get("epoch")) else number
                diverged = diverged or f"epoch {where} has no finite loss or accuracy"
            elif any(map(_not_finite, _numbers(value))):
                not_finite = True
            elif _is_read(key) and (value is not None or key == "epoch"):
                odd.setdefault(key, f"epoch {number} of its history has {key} {_shown(value)}")
        kept.append(good)
    named = [f"{text}: left out, there and wherever it is no number" for text in odd.values()]
    if len(named) > MOST_REMARKS:
        named[MOST_REMARKS:] = [f"so has it {len(named) - MOST_REMARKS} more keys: left out"]
    return kept, named, diverged, not_finite


def _measures(key: str) -> bool:
    """Whether a field of an epoch is there in every epoch of a run that is well."""
    return key.startswith("loss") or key.endswith("_acc")


_SIZES = ("grad_norm_max", "proj_grad_norm_max", "teacher_entropy")


def _is_read(key: str) -> bool:
    return _measures(key) or key in ("epoch", "term_grad_norm", *_SIZES)


def _range(key: str) -> tuple[float, float]:
    """Return least and most of a field of an epoch; of one that is no plain number, nothing."""
    if key in ("epoch", "term_grad_norm"):
        return 1, 0
    if key.endswith("_acc"):
        return 0, 1
    return 0 if key in _SIZES else -LARGEST, LARGEST


def _epoch_value(key: str, value: Any) -> Any:
    """Return what is good of a field of an epoch; None if nothing is."""
    if key == "term_grad_norm":
        terms = value.items() if isinstance(value, dict) else ()
        return {name: norm for name, norm in terms if is_number(norm) and norm >= 0} or None
    if key == "epoch":
        number = whole(value)
        return number if number is not None and 0 <= number <= MOST_EPOCHS else None
    least, most = _range(key)
    return value if is_number(value) and least <= value <= most else None


def check_fidelity(fidelity: Mapping[str, Any]) -> None:
    """Check what is judged of a `fidelity.json`.

    Raises:
        OddFileError: naming the first value that cannot be.
    """
    if not all(map(math.isfinite, _numbers(fidelity))):
        raise OddFileError(f"holds numbers that are {UNUSABLE}")
    for key in _FIDELITY_SHARES:
        if fidelity.get(key) is not None and not is_share(fidelity[key]):
            raise OddFileError(f"{key} is {_shown(fidelity[key])}, no share of one")
    for key in ("kl_t1", "kl_t4"):
        value = fidelity.get(key)
        # A divergence is never negative, but a sum of float32 may be, by a little.
        if value is not None and not (is_number(value) and value > -1e-3):
            raise OddFileError(f"{key} is {_shown(value)}, no divergence")
    classes = fidelity.get("per_class_acc")
    if classes is not None and (
        not isinstance(classes, dict) or not all(v is None or is_share(v) for v in classes.values())
    ):
        raise OddFileError("per_class_acc holds something else than shares of one")
