"""Tables, JSON and remarks: the answer goes to stdout, everything else to stderr.

All printing of the command line is here and leaves by `kdgap.terminal`, whose docstring
has the rule: no failure to show anything stops or fails the work.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kdgap import terminal
from kdgap.files import json_text
from kdgap.terminal import LEAST_COLUMNS, visible

_WORD = re.compile(r"(?:^ *)?\S+", re.MULTILINE)
"""A word, with the spaces that it is indented by."""


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
    # FORCE_COLOR lets a log have colours; a bar in it would be a thousand lines.
    return err.file.isatty() and not err.is_dumb_terminal and wide


def width() -> int:
    """Return how many columns an answer may take."""
    return out.width


def markup(text: str) -> str:
    """Return text that a display of rich shows as it is, on one line."""
    return escape(visible(text, one_line=True))


def say(text: str) -> None:
    """Print one remark on stderr."""
    err.print(markup(text), soft_wrap=True)


def answer(text: str, *, wrap: bool = True) -> None:
    """Print one line of the answer; on a terminal it is wrapped between words.

    What a program reads stays one line, whatever the width. So does, with `wrap` false, what begins
    with a path: it is there to be copied.
    """
    shown = _shown(visible(text, one_line=True))
    if wrap and out.is_terminal:
        indent = " " * (len(shown) - len(shown.lstrip(" ")))
        # A word that is longer, such as a path, stays whole.
        shown = fill(
            shown, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    out.print(escape(shown), soft_wrap=True)


def answer_styled(text: str, styles: Mapping[str, str]) -> None:
    """Print lines of the answer; what a pattern matches has its style where styles are shown."""
    styled = Text(_shown(visible(text)))
    for pattern, style in styles.items():
        styled.highlight_regex(pattern, style)
    out.print(styled, soft_wrap=True, end="")


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
    may have several lines. Where cells would have to be wrapped, the lines between columns go
    first; where words or numbers would break all the same, every row is a list of its own.
    """
    if title:
        _aside(title, "table.title", wrap=out.is_terminal)
    named = [_shown(name) for name in columns]
    cells = [["–" if cell is None else _shown(str(cell)) for cell in row] for row in rows]
    numeric = [
        _is_numeric([str(row[at]) for row in rows if row[at] is not None])
        for at in range(len(columns))
    ]
    texts = [[name, *(row[at] for row in cells)] for at, name in enumerate(named)]
    if len(columns) <= 2:
        _print_columns(Table(), named, cells, numeric, None)
    elif fit := _fit(texts, width()):
        framed, widths = fit
        table = (
            Table()
            if framed
            else Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        )
        _print_columns(table, named, cells, numeric, widths)
    else:
        _print_lists(named, cells)
    if caption:
        _aside(caption, "table.caption", wrap=True)


def fitting(
    layouts: Sequence[Sequence[str]],
    titles: Mapping[str, str],
    lines: Sequence[Mapping[str, str | None]],
    columns: int,
) -> tuple[list[str], list[list[str | None]]]:
    """Return head and rows of the first layout of which so many columns wrap no cell.

    Where none is so narrow it is the last one, which therefore has all that a reader came for.
    """
    for kept in layouts:
        head = [titles[key] for key in kept]
        rows = [[line.get(key, "") for key in kept] for line in lines]
        texts = [
            ["–" if cell is None else cell for cell in column]
            for column in zip(head, *rows, strict=True)
        ]
        if _fit(texts, columns, wrapped=False):
            break
    return head, rows


def _shown(text: str) -> str:
    """Return text as it will stand on the terminal, so that it is measured as such."""
    return terminal.written(visible(text), out.encoding)


def _is_numeric(cells: list[str]) -> bool:
    return bool(cells) and all(cell[:1] in "0123456789+-−" for cell in cells)


def _aside(text: str, style: str, *, wrap: bool) -> None:
    shown = _shown(visible(text, one_line=True))
    out.print(escape(shown), style=style, soft_wrap=not wrap)


def _fit(
    columns: list[list[str]], room: int, *, wrapped: bool = True
) -> tuple[bool, list[int]] | None:
    """Return whether columns of texts are framed, and a width for each; None if they do not fit.

    No cell is wrapped if that can be avoided, be it by leaving out the frame; a heading may be.
    """
    framed, open_room = room - 3 * len(columns) - 1, room - 2 * (len(columns) - 1)
    for whole in (True, False) if wrapped else (True,):
        for frame, left in ((True, framed), (False, open_room)):
            if widths := _fitted(columns, left, whole=whole):
                return frame, widths
    return None


def _fitted(columns: list[list[str]], room: int, *, whole: bool) -> list[int] | None:
    """Return a width for each column of texts so that no word breaks; None if that cannot be.

    Args:
        columns: the heading and the cells of each.
        room: columns of the terminal for all of them together.
        whole: whether the lines of a cell, too, stay as they are.
    """
    wanted = [
        max(cell_len(line) for text in column for line in text.split("\n")) for column in columns
    ]
    widths = [
        max(_least(head), *(_least(text, whole=whole) for text in cells), 0)
        for head, *cells in columns
    ]
    left = room - sum(widths)
    if left < 0:
        return None
    for _ in range(min(left, sum(wanted) - sum(widths))):
        lacking = [want - width for want, width in zip(wanted, widths, strict=True)]
        widths[lacking.index(max(lacking))] += 1
    return widths


def _least(text: str, *, whole: bool = False) -> int:
    """Return how wide a text is at least; a line without a letter is a number, and stays whole."""
    return max(
        cell_len(part)
        for line in text.split("\n")
        for part in (
            [line]
            if whole or not any(sign.isalpha() for sign in line)
            else _WORD.findall(line) or [""]
        )
    )


def _print_columns(
    table: Table,
    columns: Sequence[str],
    rows: list[list[str]],
    numeric: Sequence[bool],
    widths: list[int] | None,
) -> None:
    for at, name in enumerate(columns):
        table.add_column(
            escape(name),
            justify="right" if numeric[at] else "left",
            overflow="fold",
            width=widths[at] if widths else None,
        )
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def _print_lists(columns: Sequence[str], rows: list[list[str]]) -> None:
    """Print each row as its first cell, and below it a line for each of the others."""
    for first, *others in rows:
        out.print(escape(" ".join(first.split("\n"))), style="table.header")
        for name, cell in zip(columns[1:], others, strict=True):
            text = "\n".join(line.strip() for line in cell.split("\n"))
            if text:
                escaped = escape(f"{name}: {text}" if name else text)
                out.print(Padding(escaped, (0, 0, 0, 2), expand=False))
