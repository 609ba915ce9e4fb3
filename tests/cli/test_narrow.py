"""Narrow terminals and poor encodings: no word is broken, and no table loses its shape."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from kdgap.cli import printing
from tests.cli.test_advice import _begun, study  # noqa: F401  (a finished study)

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
WORDS = [
    ("status", "my study"),
    ("show", "my study"),
    ("plan", "my study", "--runs"),
    ("analyze", "my study"),
    ("data", "digits"),
    ("models",),
    ("methods",),
    ("run", "--help"),
    ("--help",),
]


@pytest.fixture(autouse=True)
def _no_width_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing.out, "_width", None)


def words_in(text: str) -> set[str]:
    """Words of letters alone; a part of a broken one is none that stands in the wide text."""
    return set(re.findall(r"(?<![\w./-])[A-Za-z]{2,}(?![\w./-])", text))


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("columns", [40, 50, 64])
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_no_word_is_broken(
    kdgap: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    wide = kdgap(*words)
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = kdgap(*words)
    assert (wide.returncode, narrow.returncode) == (0, 0)
    if "--help" in words:  # the kinds of values are told in other words there
        assert "…" not in narrow.stdout
        assert {"teachers", "selection", "finals"} <= words_in(narrow.stdout) or words[0] != "run"
    else:
        assert words_in(narrow.stdout) <= words_in(wide.stdout)


TABLE = [["a → b", "±0.5", "x"], ["a", "0.25 … 0.75", "–"], ["猫", "1", "long words of a text"]]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("columns", [40, 50, 120])
def test_a_table_is_laid_out_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, columns: int
) -> None:
    from kdgap import terminal

    monkeypatch.setenv("COLUMNS", str(columns))
    with (tmp_path / "o").open("w", encoding=encoding) as stream:
        monkeypatch.setattr("sys.stdout", stream)
        with terminal.guarded():
            printing.print_table("title → x", ["±", "what … ever", "word"], TABLE, "caption ≤ 1")
    lines = (tmp_path / "o").read_text(encoding).splitlines()
    table = lines[1:-1]  # between the title and the caption, with a frame or without
    assert len(table) > 4
    assert len({cell_len(line) for line in table}) == 1
    assert max(map(cell_len, table)) <= columns


def test_rows_that_fit_no_line_are_lists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = "configuration-of-a-name"
    printing.print_table("", ["", "first", "second"], [["row", long, long], ["next", None, "1\n2"]])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "row",
        f"  first: {long}",
        f"  second: {long}",
        "next",
        "  first: –",
        "  second: 1",
        "  2",
    ]
