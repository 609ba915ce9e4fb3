"""Tables, JSON and remarks: the answer goes to stdout, everything else to stderr.

All printing of the command line is here and leaves by the door in `kdgap.terminal`, whose docstring
has the rule: no failure to show anything stops or fails the work.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.markup import escape
from rich.table import Table

from kdgap.files import json_text
from kdgap.terminal import LEAST_COLUMNS, visible


class _Console(Console):
    """A console that is as wide as its terminal is now, but never narrower than a table can be."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)
        self._width = self._height = None  # rich would keep what COLUMNS said at the import

    @property
    def size(self) -> ConsoleDimensions:
        columns, lines = super().size
        return ConsoleDimensions(max(columns, LEAST_COLUMNS), lines)

    @size.setter
    def size(self, given: tuple[int, int]) -> None:
        self._width, self._height = given


out = _Console()
err = _Console(stderr=True)
"""Where progress is shown."""


def moves() -> bool:
    """Whether stderr is a terminal on which a bar can move."""
    wide = Console.size.fget(err).width >= LEAST_COLUMNS  # type: ignore[attr-defined]
    return err.is_terminal and not err.is_dumb_terminal and wide


def width() -> int:
    """Return how many columns an answer may take."""
    return out.width


def markup(text: str) -> str:
    """Return text that a display of rich shows as it is, on one line."""
    return escape(visible(text, one_line=True))


def say(text: str) -> None:
    """Print one remark on stderr."""
    err.print(markup(text), soft_wrap=True)


def answer(text: str, *, wrap: bool = False) -> None:
    """Print one line of the answer; on a terminal it may be wrapped between words.

    What a program reads stays one line, whatever it is asked.
    """
    out.print(markup(text), soft_wrap=not (wrap and out.is_terminal))


def print_json(value: object) -> None:
    """Print strict JSON on stdout, whatever the width and the encoding of the terminal."""
    text = json_text(value)
    if not out.encoding.startswith("utf"):
        text = json.dumps(value, indent=2, allow_nan=False)
    sys.stdout.write(f"{text}\n")


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
) -> None:
    """Print a table; numbers are expected as text, a None is shown as a dash.

    Columns after the first are right-aligned where every cell starts with a digit or a sign. A cell
    may have several lines.
    """
    table = Table(
        title=markup(title) or None, title_justify="left", caption=markup(caption) or None
    )
    table.caption_justify = "left"
    for number, name in enumerate(columns):
        cells = [str(row[number]) for row in rows if row[number] is not None]
        numeric = bool(cells) and all(cell[:1] in "0123456789+-−" for cell in cells)
        table.add_column(markup(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("–" if cell is None else escape(visible(str(cell))) for cell in row))
    out.print(table)


def percent(share: float | None) -> str | None:
    """Return a share of one as a percentage with two decimals."""
    return None if share is None else f"{share * 100:.2f} %"


def points(difference: float | None) -> str | None:
    """Return a difference of shares in percentage points, with its sign."""
    return None if difference is None else f"{difference * 100:+.2f} pp".replace("-", "−")


def number(value: float | None, digits: int = 4) -> str | None:
    """Return a number with a fixed number of decimals."""
    return None if value is None else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Return a time in human units: `4.2 s`, `3 min 20 s`, `2 h 05 min`, `3.5 days`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes / (24 * 60):,.1f} days"
