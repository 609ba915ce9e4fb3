"""`kdgap show`: finished runs side by side, each verified before it is shown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdgap.errors import BadInputError

if TYPE_CHECKING:
    from kdgap.store.record import Record

EXAMPLES = "Examples: kdgap show runs/digits\nkdgap show runs/one runs/another"

LAYOUTS = (
    ("run", "seed", "parameters", "test, best", "gain", "validation, best", "ECE", "agreement"),
    ("run", "seed", "test, best", "gain", "validation, best", "agreement"),
    ("run", "seed", "test, best", "gain", "validation, best"),
    ("run", "seed", "test, best", "gain"),
)
"""Columns of a table of runs where not all of them fit; the last at any width."""

MOST_SIDE_BY_SIDE = 3
WIDE = 120
"""Where a terminal is narrower, so many runs are columns, and all that is known of them rows."""


def show(
    directories: Annotated[
        list[Path], typer.Argument(metavar="STUDY|RUN", help="A study, or runs.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a study's verdicts, or finished runs side by side: accuracy, gain, fidelity."""
    from kdgap.store.record import RunDirectory
    from kdgap.store.study import StudyDirectory

    if any(StudyDirectory(path).exists() for path in directories):
        if len(directories) > 1:
            raise BadInputError(f"{directories[0]}: show one study at a time")
        _show_study(directories[0], as_json=as_json)
        return
    records = [RunDirectory(path).read() for path in directories]
    if as_json:
        from kdgap.cli.printing import print_json

        print_json([summary(record, records) for record in records])
    else:
        print_records(records)


def _show_study(path: Path, *, as_json: bool) -> None:
    from kdgap.cli.judging import refuse_damaged
    from kdgap.cli.printing import print_json
    from kdgap.cli.verdicts import print_verdicts
    from kdgap.judge.document import to_json
    from kdgap.judge.judging import analyse
    from kdgap.judge.load import load

    evidence = load(path)
    analysis = analyse(evidence)
    if as_json:
        print_json(to_json(analysis))
    else:
        print_verdicts(analysis)
    refuse_damaged(evidence)


def comparable(record: "Record") -> tuple[Any, ...]:
    """Return what a run must share with its baseline: all but method and teacher."""
    spec = record.run["spec"]
    data, recipe = spec["data"], spec["recipe"]
    kept = {key: value for key, value in recipe.items() if key != "clip_scope"}
    split = spec.get("devices", 1), spec.get("batch_norm")
    parts = (data, record.run["data"]["fingerprint"], spec["model"], kept, split)
    return (repr(parts), spec["precision"], spec["numerics"], spec["seed"])


def summary(record: "Record", records: "list[Record]") -> dict[str, Any]:
    """Return one run's numbers; its gain if its own baseline is among `records`."""
    from kdgap.spec.slot import PLAIN

    results, test = record.results, record.test
    best = test["best"] if test else {}
    gain = None
    if results["kd_type"] != PLAIN and test is not None:
        for other in records:
            same = other.results["kd_type"] == PLAIN and comparable(other) == comparable(record)
            if same and other.test is not None:
                gain = best["accuracy"] - other.test["best"]["accuracy"]
    return {
        "path": str(record.path),
        "run_id": record.id,
        "model": results["model"],
        "width": results["width"],
        "teacher": results["teacher"],
        "kd_type": results["kd_type"],
        "study_methods": study_methods(record),
        "seed": results["seed"],
        "devices": results.get("devices", 1),
        "batch_norm": results.get("batch_norm"),
        "parameters": record.run["model"]["parameters"],
        "best_val_acc": results["best_val_acc"],
        "best_val_epoch": results["best_val_epoch"],
        "epochs": results["epochs"],
        "test_acc_best": results["test_acc_best"],
        "test_acc_final": results["test_acc_final"],
        "gain": gain,
        "ece": best.get("ece"),
        "top1_agreement": best.get("top1_agreement"),
        "kl_t1": best.get("kl_t1"),
        "kl_t4": best.get("kl_t4"),
        "teacher_test_acc": test["teacher"]["accuracy"] if test and "teacher" in test else None,
        "flags": record.run["flags"],
    }


def study_methods(record: "Record") -> list[str]:
    """Return what its study calls a run's method, once for each arm that the run is in."""
    from contextlib import suppress

    from kdgap.errors import KdgapError
    from kdgap.spec.slot import PLAIN
    from kdgap.store.study import StudyDirectory, study_of

    study, planned = study_of(record.path), list[Any]()
    if study is not None:
        with suppress(KdgapError):  # the record is whole, whatever became of the plan
            planned = StudyDirectory(study).plan()["runs"]
    slots = (slot for run in planned if run["id"] == record.id for slot in run["slots"])
    return list(dict.fromkeys(slot["method"] for slot in slots if slot["method"] != PLAIN))


def _what(row: Mapping[str, Any]) -> str:
    from kdgap.methods import METHODS
    from kdgap.spec.slot import PLAIN
    from kdgap.text import sized

    model = sized(row["model"], row["width"])
    names = row["study_methods"] or [row["kd_type"]]
    method = ", ".join(METHODS[name].label if name in METHODS else name for name in names)
    method = "baseline" if row["kd_type"] == PLAIN else method
    return f"{model}, {method}" + (f" from {row['teacher']}" if row["teacher"] else "")


def print_records(records: "list[Record]") -> None:
    """Print the result table of some runs; a single run is shown with its columns as rows."""
    from kdgap.cli.printing import answer, fitting, print_table, say, width
    from kdgap.numbers import fixed, percent, points

    rows = [summary(record, records) for record in records]
    cells = [
        {
            "run": _what(row),
            "seed": str(row["seed"]),
            "devices": f"{row['devices']}, batch norm {str(row['batch_norm']).replace('_', ' ')}"
            if row["devices"] > 1
            else None,
            "parameters": f"{row['parameters']:,}",
            "validation, best": f"{percent(row['best_val_acc'])}",
            "best epoch": f"{row['best_val_epoch']}/{row['epochs']}",
            "test, best": percent(row["test_acc_best"]),
            "test, last": percent(row["test_acc_final"]),
            "gain": points(row["gain"]),
            "ECE": percent(row["ece"]),
            "agreement": percent(row["top1_agreement"]),
            "KL T=1": fixed(row["kl_t1"]),
            "KL T=4": fixed(row["kl_t4"]),
            "teacher's test": percent(row["teacher_test_acc"]),
        }
        for row in rows
    ]
    titles = {key: key for key in cells[0]}
    if all(record.run["spec"]["data"].get("choose_on") == "test" for record in records):
        titles["validation, best"] = "on the test images, best"
    for flag in sorted({flag for row in rows for flag in row["flags"]}):
        say(f"note: {flag}")
    if len(cells) == 1:
        shown = [(titles[key], value) for key, value in cells[0].items() if value is not None]
        print_table("", ["", "result"], shown)
    elif len(cells) <= MOST_SIDE_BY_SIDE and width() < WIDE:
        columns = ["", *(f"run {i + 1}" for i in range(len(cells)))]
        lines = [[titles[key], *(row[key] for row in cells)] for key in cells[0]]
        print_table("", columns, [line for line in lines if any(line[1:])], _caption(rows))
    else:
        filled = [key for key in cells[0] if any(row[key] is not None for row in cells)]
        layouts = [filled, *([key for key in kept if key in filled] for kept in LAYOUTS)]
        head, texts = fitting(layouts, titles, cells, width())
        print_table("", head, texts, _caption(rows))
    for row in rows:
        answer(f"{row['run_id'][:12]}  {row['path']}", wrap=False)


def _caption(rows: Sequence[Mapping[str, Any]]) -> str:
    if any(row["gain"] is not None for row in rows):
        return "gain: test accuracy minus the baseline's, one seed each: no interval, no verdict"
    return ""
