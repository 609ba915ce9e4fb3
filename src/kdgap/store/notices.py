"""What records and plans say that a reader has to know, as notices: written once, read here."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from kdgap import notice
from kdgap.notice import Notice, serious

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
UNMEASURED = Notice("teacher-not-measured", "the teacher's accuracy was never measured")
SMOKE_TEACHER = Notice("teacher-of-smoke-run", "the teacher comes from a smoke run")
ELSEWHERE = Notice(
    "resumed-elsewhere", "resumed in another environment: not the bits of an uninterrupted run"
)
_BEFORE = {
    entry.text: entry
    for entry in (SMOKE, TEST_CHOSEN, OTHER_IMAGES, UNMEASURED, SMOKE_TEACHER, ELSEWHERE)
}
"""Records that were written before notices had codes have their sentences alone."""


def copied(part: str, copies: int, images: int) -> Notice:
    """Return that `copies` of `images` images of a part, `validation` or `test`, are trained on."""
    short = f"{copies:,} of {images:,} {part} images are training images too"
    return serious("copied-images", f"{short}: accuracies on them are optimistic", short)


def recorded(document: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Return the notices of `run.json`, `results.json`, or a line of an import."""
    entries = document.get("notices")
    if entries is not None:
        return notice.read(entries)
    return tuple(
        _BEFORE.get(text, Notice("recorded", text)) for text in document.get("flags") or ()
    )


def in_record(notices: Iterable[Notice]) -> Mapping[str, Any]:
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
    marks = (serious(mark.replace(": ", "-").replace(" ", "-"), mark, mark)
             for mark in plan.get("marks", ()))  # fmt: skip
    return (*(Notice("protocol", text) for text in plan.get("warnings", ())), *marks)


def of_runs(notices: Iterable[Notice]) -> list[Notice]:
    """Return what single runs say that has to stand under every table."""
    shown = sorted(notice.shorts(notices))
    return [serious("runs", short, short) for short in shown]


def chosen_on(notices: Iterable[Notice]) -> Literal["val", "test"]:
    """Return which images chose the epochs of runs with these notices."""
    return "test" if TEST_CHOSEN.code in notice.codes(notices) else "val"
