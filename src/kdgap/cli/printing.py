"""Tables, JSON and remarks: the answer goes to stdout, everything else to stderr."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print one remark on stderr."""
    err.print(escape(text), soft_wrap=True)


def print_json(value: object) -> None:
    """Print strict JSON on stdout, whatever the width of the terminal."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
) -> None:
    """Print a table; numbers are expected as text, a None is shown as a dash.

    Columns after the first are right-aligned where every cell starts with a digit or a sign.
    """
    table = Table(
        title=escape(title) or None, title_justify="left", caption=escape(caption) or None
    )
    table.caption_justify = "left"
    for number, name in enumerate(columns):
        cells = [str(row[number]) for row in rows if row[number] is not None]
        numeric = bool(cells) and all(cell[:1] in "0123456789+-−" for cell in cells)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("–" if cell is None else escape(str(cell)) for cell in row))
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
