"""What records and plans say that a reader has to know, as notices: written once, read here."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from kdgap import notice
from kdgap.notice import Notice, serious
from kdgap.store.preregistration import CHANGED_BY_HAND, POST_HOC

SMOKE = Notice(
    "smoke-run", "smoke run: the data was limited, so these numbers are no result", "", "serious"
)
TEST_CHOSEN = Notice(
    "chosen-on-test",
    "epochs were chosen on the test images: the accuracies are optimistic",
    "",
    "serious",
)
OTHER_IMAGES = Notice(
    "teacher-of-other-images",
    "the teacher was trained on other images: it may know some of the validation's",
)
SEEN_VALIDATION = Notice(
    "teacher-saw-validation",
    "the teacher has seen the validation images: it was trained on all training images",
)
UNMEASURED = Notice("teacher-not-measured", "the teacher's accuracy was never measured")
SMOKE_TEACHER = Notice("teacher-of-smoke-run", "the teacher comes from a smoke run")
ELSEWHERE = Notice(
    "resumed-elsewhere", "resumed in another environment: not the bits of an uninterrupted run"
)
OTHER_DEVICES = Notice(
    "other-devices",
    "went on with another number of devices: not the bits of an uninterrupted run",
)
_OF_RUNS = {
    entry.code: entry
    for entry in (
        *(SMOKE, TEST_CHOSEN, OTHER_IMAGES, SEEN_VALIDATION),
        *(UNMEASURED, SMOKE_TEACHER, ELSEWHERE, OTHER_DEVICES),
    )
}
_BEFORE = {entry.text: entry for entry in _OF_RUNS.values()}
"""Records that were written before notices had codes have their sentences alone."""
_COPIED = re.compile(r"([\d,]+ of [\d,]+ (?:validation|test) images are training images too): .*")
_PLANNED = (
    ("smoke run", "smoke-run"),
    ("epochs and hyper-parameters are chosen on the test", "chosen-on-test"),
    ("chosen on the test", "chosen-on-test"),
    ("selection seed", "shared-selection-seed"),
    ("unequal tuning", "unequal-tuning"),
    ("one teacher", "one-teacher"),
    ("optional stopping", "optional-stopping"),
    ("the pre-registration was changed", CHANGED_BY_HAND.code),
    ("pre-registration changed", CHANGED_BY_HAND.code),
)
"""How the sentences and marks begin that plans had before there were notices, and their codes."""


def copied(part: str, copies: int, images: int) -> Notice:
    """Return that `copies` of `images` images of a part, `validation` or `test`, are trained on."""
    short = f"{copies:,} of {images:,} {part} images are training images too"
    return serious("copied-images", f"{short}: accuracies on them are optimistic", short)


def recorded(document: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Return the notices of `run.json`, `results.json`, or a line of an import."""
    known = notice.read(document.get("notices") or ())
    # An older kdgap that goes on with a run adds its sentences to `flags` alone.
    texts = {entry.text for entry in known}
    return (*known, *(_before(text) for text in document.get("flags") or () if text not in texts))


def _before(text: str) -> Notice:
    counts = _COPIED.fullmatch(text)
    if counts is not None:
        return serious("copied-images", text, counts[1])
    return _BEFORE.get(text, Notice("recorded", text))


def trusted(notices: Iterable[Notice]) -> list[Notice]:
    """Return notices of somebody else's files: none weighs more than what we know lets it.

    What stands under every table, and how much it weighs, is said by codes of ours alone: a file
    that says a code of ours gets our notice of it, whatever words it has.
    """
    return [_ours(entry) for entry in notices]


def _ours(entry: Notice) -> Notice:
    if entry.code == "copied-images":
        return _before(entry.text)
    return _OF_RUNS.get(entry.code, Notice("recorded", entry.text))


def in_record(notices: Iterable[Notice]) -> Mapping[str, object]:
    """Return what a record says of notices: `flags` in words, as ever, and `notices`, if any."""
    entries = notice.written(notices)
    return {
        "flags": [entry["text"] for entry in entries],
        **({"notices": entries} if entries else {}),
    }


def of_plan(plan: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Return the notices of `plan.json`; of one that was written before there were any, as well."""
    if "notices" in plan:
        return notice.read(plan["notices"])
    marks = {_planned(mark): mark for mark in plan.get("marks", ())}
    known = [(_planned(text), text) for text in plan.get("warnings", ())]
    warnings = [
        serious(code, text, marks.pop(code)) if code in marks else Notice(code, text)
        for code, text in known
    ]
    return (*warnings, *(serious(code, mark, mark) for code, mark in marks.items()))


def _planned(text: str) -> str:
    """Return the code of what a plan of before says."""
    if text.startswith("post hoc: "):
        return f"{POST_HOC}{text.split()[2]}"
    return next((code for start, code in _PLANNED if text.startswith(start)), "protocol")


def of_runs(notices: Iterable[Notice]) -> list[Notice]:
    """Return what single runs say that has to stand under every table."""
    shown = sorted(notice.shorts(notices))
    return [serious("runs", short, short) for short in shown]


def chosen_on(notices: Iterable[Notice]) -> Literal["val", "test"]:
    """Return which images chose the epochs of runs with these notices."""
    return "test" if TEST_CHOSEN.code in notice.codes(notices) else "val"
