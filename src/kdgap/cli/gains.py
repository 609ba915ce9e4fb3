"""The gain table of a study, as `kdgap run` ends with it and `kdgap show STUDY` prints it."""

from collections.abc import Collection
from typing import Any

from kdgap.report.gains import GainRow, GainTable, gain_table
from kdgap.stats.gains import Difference
from kdgap.store.study import StudyDirectory

WIDE = 110
NAMES = {"logit": "Logit-KD", "feature": "Feature-KD"}


def print_gains(
    directory: StudyDirectory,
    seconds: float | None = None,
    *,
    said: Collection[str] = (),
    as_json: bool = False,
) -> None:
    """Print baselines, gains with intervals, and what a reader has to know of them.

    Args:
        directory: the study.
        seconds: how long it was worked on, if it was.
        said: warnings that were printed before.
        as_json: print JSON.
    """
    from kdgap.cli.printing import out, print_json, print_table, say

    table = gain_table(directory)
    if as_json:
        print_json(_as_json(directory, table))
        return
    for warning in table.warnings:
        if warning not in said:
            say(f"note: {warning}")
    if table.environments > 1:
        say(f"note: the runs come from {table.environments} environments; bits may differ")
    for damaged in table.damaged:
        say(f"damaged, left out: {damaged}")
    if not table.rows:
        say(f"no final was tested yet; `kdgap status {directory.path}` says how far it is")
        return
    out.print(_headline(directory, table, seconds), soft_wrap=True, markup=False)
    columns, lines = (_wide if out.width >= WIDE else _long)(table, _level(directory))
    print_table("", columns, lines, _caption(table))
    for row in table.rows:
        for remark in row.remarks:
            say(f"note: {row.teacher} → {row.student} {row.method}: {remark}")


def _wide(table: GainTable, level: str) -> tuple[list[str], list[list[str | None]]]:
    """One line a pair, two columns a method."""
    methods = list(dict.fromkeys(row.method for row in table.rows))
    cells = {(row.teacher, row.student, row.method): row for row in table.rows}
    lines = []
    for teacher, student in dict.fromkeys((row.teacher, row.student) for row in table.rows):
        line = [f"{teacher} → {student}", _spread(table.baselines.get(student))]
        for method in methods:
            row = cells.get((teacher, student, method))
            line += [None, None] if row is None else [_spread(_of(row)), _gain(row)]
        lines.append(line)
    columns = ["pair", "baseline"]
    for method in methods:
        columns += [NAMES.get(method, method), f"gain in pp [{level}]"]
    return columns, lines


def _long(table: GainTable, level: str) -> tuple[list[str], list[list[str | None]]]:
    """One line a pair and method, for a narrow terminal."""
    lines: list[list[str | None]] = []
    students: set[tuple[str, str]] = set()
    for row in table.rows:
        pair = (row.teacher, row.student)
        if pair not in students:
            students.add(pair)
            spread = _spread(table.baselines.get(row.student))
            lines.append([f"{row.teacher} → {row.student}", "baseline", spread, ""])
        lines.append(["", NAMES.get(row.method, row.method), _spread(_of(row)), _gain(row)])
    return ["pair", "", "accuracy", f"gain in pp [{level}]"], lines


def _headline(directory: StudyDirectory, table: GainTable, seconds: float | None) -> str:
    from kdgap.cli.printing import duration

    plan = directory.plan()
    study = plan["study"]
    teachers = ", ".join(f"{name} {_spread(t)} %" for name, t in table.teachers.items())
    took = f" in {duration(seconds)}" if seconds else ""
    return (
        f"{study['name']}: {len(plan['runs'])} runs{took} · test accuracy in %, {table.primary}"
        f" weights, mean ± std over {len(study['finals']['seeds'])} seeds · teacher {teachers}"
    )


def _caption(table: GainTable) -> str:
    tuned = {row.method: row.tried for row in table.rows}
    budget = ", ".join(f"{NAMES.get(m, m)} {count}" for m, count in tuned.items())
    kind = "Welch" if table.test == "welch" else "paired by seed"
    marks = f"Mind: {'; '.join(table.marks)}. " if table.marks else ""
    return (
        f"{marks}Gains over the baseline of the same student; {kind} intervals, not corrected for"
        f" the number of comparisons: no verdict yet. Configurations tried: {budget}."
    )


def _level(directory: StudyDirectory) -> str:
    return f"{directory.plan()['study']['statistics']['confidence'] * 100:g} % interval"


def _of(row: GainRow) -> tuple[int, float, float | None]:
    return row.n, row.mean_pp, row.std_pp


def _spread(summary: tuple[int, float, float | None] | None) -> str | None:
    if summary is None:
        return None
    _, mean, std = summary
    return f"{mean:.2f}" + ("" if std is None else f" ± {std:.2f}")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _gain(row: GainRow) -> str | None:
    if row.point_pp is None:
        return None
    if row.gain is None:
        return f"{_signed(row.point_pp)} (no interval)"
    return f"{_signed(row.gain.mean)} [{_signed(row.gain.low)}, {_signed(row.gain.high)}]"


def _as_json(directory: StudyDirectory, table: GainTable) -> dict[str, Any]:
    def difference(gain: Difference | None) -> dict[str, Any] | None:
        return None if gain is None else vars(gain)

    return {
        "study": directory.plan()["study"]["name"],
        "path": str(directory.path),
        "primary": table.primary,
        "test": table.test,
        "baselines": {
            name: {"n": n, "mean_pp": mean, "std_pp": std}
            for name, (n, mean, std) in table.baselines.items()
        },
        "teachers": {
            name: {"n": n, "mean_pp": mean, "std_pp": std}
            for name, (n, mean, std) in table.teachers.items()
        },
        "gains": [{**vars(row), "gain": difference(row.gain)} for row in table.rows],
        "warnings": table.warnings,
        "marks": table.marks,
        "damaged": table.damaged,
        "environments": table.environments,
    }
