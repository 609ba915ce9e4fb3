"""Answers fit 80 columns, and keep what the reader came for: accuracy, gain, interval, verdict."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from kdgap.cli import printing
from kdgap.cli.app import COMMANDS
from kdgap.numbers import interval, signed, spread
from tests.cli.test_advice import _begun, study  # noqa: F401  (a finished study)
from tests.cli.test_judging import CLAIM, others_runs

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
LONG = "mobilenetv2-of-a-name-as-long-as-people-give"
STUDY_WALK: list[tuple[str, ...]] = [
    ("plan", "its file.yaml"),
    ("plan", "my study", "--runs"),
    ("run", "my study"),
    ("status", "my study"),
    ("verify", "my study"),
    ("clean", "my study"),
    ("show", "my study"),
    ("show", "*"),
    ("show", "*", "*"),
    ("show", "*", "*", "*", "*", "*"),
    ("analyze", "my study"),
    ("rank", "my study", "--pairs"),
    ("evaluate", "*"),
    ("data",),
    ("models",),
    ("models", "resnet18"),
    ("methods",),
    ("methods", "dkd"),
    ("presets",),
    ("presets", "mdistiller/resnet56-resnet20"),
    ("env",),
]
IMPORT_WALK: list[tuple[str, ...]] = [
    ("import", "theirs", "--out", "im"),
    ("analyze", "im", "--claims", "claims.yaml"),
    ("analyze", "im", "--reference", "logit"),
    ("rank", "im", "--pairs"),
]
NO_OWN_TABLE = {
    "distill": "prints what `run` does",
    "train": "prints what `evaluate` does",
    "report": "prints one path",
    "explore": "prints one address",
    "export": "prints paths",
    "convert": "prints one path",
    "predict": "tests/cli/test_shipping.py",
    "bench": "takes minutes",
}
"""Commands that are not walked, and why."""


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let answers go to a terminal of so many columns."""

    def of(columns: int) -> None:
        monkeypatch.setattr(printing.out, "width", columns)
        monkeypatch.setattr(printing.out, "_force_terminal", True)

    return of


def lines_of(text: str) -> list[str]:
    """The lines that a reader sees."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def overlong(text: str, columns: int) -> list[str]:
    """Lines that a terminal breaks, but for those that are one word, and those of a run's path."""
    return [
        line
        for line in lines_of(text)
        if cell_len(line.rstrip()) > columns
        and len(line.split()) > 1
        and not re.match(r"[0-9a-f]{12}  ", line)
    ]


def test_every_command_is_walked_or_has_a_reason() -> None:
    walked = {words[0] for words in STUDY_WALK + IMPORT_WALK}
    every = {name for commands in COMMANDS.values() for name, *_ in commands}
    assert walked | set(NO_OWN_TABLE) == every
    assert not walked & set(NO_OWN_TABLE)


@pytest.mark.usefixtures("study", "one_process")
@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_of_a_study_is_longer_than_the_terminal(
    kdgap: Command, wide: Callable[[int], None], columns: int
) -> None:
    wide(columns)
    runs = sorted(str(path.parent) for path in Path("my study/runs").glob("*/*/manifest.json"))
    for pattern in STUDY_WALK:
        rest = iter(runs)
        words = [next(rest) if word == "*" else word for word in pattern]
        done = kdgap(*words)
        assert done.returncode == 0, done
        assert done.stdout.strip(), words
        assert overlong(done.stdout, columns) == [], words


def parts_of(entry: dict[str, Any]) -> list[str]:
    """What has to be printed of a gain."""
    return [
        spread(entry["mean_pp"], entry["std_pp"]),
        signed(entry["gain_pp"]),
        interval(entry["ci95_pp"]),
        entry["verdict"],
    ]


@pytest.mark.parametrize("model", ["resnet18", LONG])
@pytest.mark.parametrize("columns", [60, 80, 100, 160])
def test_what_a_reader_came_for_is_there_at_every_width(
    kdgap: Command, wide: Callable[[int], None], columns: int, model: str
) -> None:
    others_runs(Path("theirs"), model=model)
    Path("claims.yaml").write_text(CLAIM.replace("resnet18", model))
    texts = {}
    wide(columns)
    for words in IMPORT_WALK:
        done = kdgap(*words)
        assert done.returncode == 0, done
        assert overlong(done.stdout, columns) == [], words
        texts[words] = "\n".join(lines_of(done.stdout))
    (gain,) = json.loads(kdgap("analyze", "im", "--json").stdout)["gains"]
    for words in IMPORT_WALK[1:3]:
        assert [part for part in parts_of(gain) if part not in texts[words]] == [], texts[words]
    (ranking,) = json.loads(kdgap("rank", "im", "--json").stdout)
    for place in ranking["places"]:
        parts = [spread(place["level"]["mean_pp"], place["level"]["std_pp"])]
        parts += [interval(place["over_best_ci95_pp"])]
        if place["over_plain_pp"] is not None:
            parts += [signed(place["over_plain_pp"]), interval(place["over_plain_ci95_pp"])]
        assert [part for part in parts if part not in texts[IMPORT_WALK[3]]] == []
    for pair in ranking["pairs"]:
        assert interval(pair["ci95_pp"]) in texts[IMPORT_WALK[3]]
        assert pair["verdict"] in texts[IMPORT_WALK[3]]


def test_numbers_stay_whole_and_frames_go_before_cells_are_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [["a rather long name", "+0.13 [−0.09, +0.34]", "some words"]]
    shown = {}
    for columns in (58, 57, 42, 40):
        monkeypatch.setattr(printing.out, "width", columns)
        printing.print_table("", ["who", "gain", "what is said"], rows)
        shown[columns] = capsys.readouterr().out
        assert max(map(cell_len, shown[columns].splitlines())) <= columns
    assert "│ a rather long name │ +0.13 [−0.09, +0.34] │ some words │" in shown[58]
    assert "a rather long name  +0.13 [−0.09, +0.34]  some words" in shown[57]
    assert re.search(r"│ +\+0.13 \[−0.09, \+0.34\] │ some +│\n", shown[42])
    assert re.search(r"  \+0.13 \[−0.09, \+0.34\]  some *\n", shown[40])


def test_the_first_layout_that_wraps_no_cell_is_taken() -> None:
    titles = {"a": "name", "b": "accuracy (%)", "c": "further"}
    lines: list[dict[str, str | None]] = [{"a": "resnet18", "b": "94.86 ± 0.14", "c": None}]
    layouts = (("a", "b", "c"), ("a", "b"))
    assert printing.fitting(layouts, titles, lines, 31)[0] == ["name", "accuracy (%)", "further"]
    assert printing.fitting(layouts, titles, lines, 30)[0] == ["name", "accuracy (%)"]
    head, rows = printing.fitting(layouts, titles, lines, 5)
    assert (head, rows) == (["name", "accuracy (%)"], [["resnet18", "94.86 ± 0.14"]])
