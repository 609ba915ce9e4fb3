"""A table as data, and the same table as Markdown, LaTeX and CSV.

A table carries what is shown and, apart from it, the values that it was made from. Whatever a
name holds, it is shown as text: nothing in it becomes markup, a command or a formula.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kdgap.terminal import visible

Value = str | float | int | bool | None
STAR, DASH = "*", "–"
"""What marks a result that holds after correction, and what stands for nothing."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: a short name, such as `gains`; a file's name without its ending.
        title: one line above it.
        columns, rows: what is shown; a None is shown as a dash.
        caption: what a reader has to know of it.
        fields, values: the numbers themselves with full precision, under their own names; as many
            lines as there are rows, in the same order.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    caption: str
    fields: tuple[str, ...] = ()
    values: tuple[tuple[Value, ...], ...] = ()

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether each column holds numbers and nothing else: those are aligned to the right."""
        columns = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.columns)
        return tuple(any(column) and all(map(_is_number, column)) for column in columns)


_NUMBER = re.compile(r"(< )?[+−-]?[0-9][^A-Za-z]*(\(no interval\))?$")


def _is_number(cell: str | None) -> bool:
    return cell is None or cell == DASH or bool(_NUMBER.match(cell))


# Markdown -------------------------------------------------------------------------------------

# An underscore inside a word means nothing in Markdown; elsewhere it emphasises.
_MARKUP = re.compile(r"[\\`*|~$]|(?<![^\W_])_|_(?![^\W_])|(?<=\])[(\[:]|(?<=!)\[")


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is, on one line: no markup, no HTML, no cell's end."""
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(lambda match: f"\\{match[0]}", text)


def as_markdown(table: Table) -> str:
    """Return a table with its title and caption in GitHub's Markdown."""
    head = f"## {markdown_text(table.title)}\n\n"
    if not table.rows:
        return f"{head}None.\n"
    marks = ["---:" if numeric else "---" for numeric in table.numeric]
    lines = [
        map(markdown_text, table.columns),
        marks,
        *(map(_markdown_cell, r) for r in table.rows),
    ]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{head}{body}\n\n{markdown_text(table.caption)}\n"


def _markdown_cell(cell: str | None) -> str:
    return DASH if cell is None else markdown_text(cell)


# LaTeX ----------------------------------------------------------------------------------------

LATEX_HEAD = r"""% Tables of kdgap. In the preamble:
%   \usepackage[T1]{fontenc} \usepackage{array,booktabs,graphicx}
% then \input this file, or copy what is needed.
"""
_WIDE_CELL, _WIDE_COLUMN = 40, r">{\raggedright\arraybackslash}p{21em}"
"""A column with a cell of more characters wraps, at about as many characters."""
_MOST_LINES = 44
"""Lines of a page; a longer table goes on on the next."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
    '"': r"\textquotedbl{}", "−": "$-$", "±": r"$\pm$", "→": r"$\to$", "·": r"$\cdot$",
    "\u00d7": r"$\times$", "≤": r"$\le$", "≥": r"$\ge$", "≈": r"$\approx$", "–": "--", "—": "---",
    "…": r"\ldots{}", "“": "``", "”": "''", "\u2018": "`", "\u2019": "'", "\u03b1": r"$\alpha$",
    "\u03b2": r"$\beta$", "‖": r"$\|$", STAR: r"$^{*}$",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Return text that LaTeX typesets as it is.

    A character that pdfLaTeX has no sign for stands as its code point, so that it still compiles.
    """
    # Between two hyphens, commas or quotes something has to stand, or LaTeX joins them into one.
    parts = re.split(r"(?<=-)(?=-)|(?<=,)(?=,)|(?<=')(?=')", _one_line(text))
    return "{}".join("".join(_LATEX.get(s) or _latex_sign(s) for s in part) for part in parts)


def _latex_sign(sign: str) -> str:
    # The letters of Latin-1 and Latin Extended-A come with LaTeX itself.
    known = sign.isascii() or ("À" <= sign <= "ž" and sign.isalpha())
    return sign if known else f"U+{ord(sign):04X}"


def as_latex(table: Table) -> str:
    """Return a table with booktabs' rules and its caption under it; a long one in several parts.

    A part is as wide as it is, but no wider than the text, which a smaller print sees to.
    """
    columns, label = _latex_columns(table), f"tab:{_label(table.name)}"
    head = " & ".join(rf"\textbf{{{latex_text(name)}}}" for name in table.columns)
    lines: list[str] = []
    for number, rows in enumerate(_pages(table)):
        title = rf"\caption{{{latex_text(table.title)}}}\label{{{label}}}\par\smallskip"
        lines += [
            *([r"\clearpage"] if number else []),
            r"\begin{table}[tbp]\centering",
            title if number == 0 else rf"Table~\ref{{{label}}}, continued\par\smallskip",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            # A row that began with a bracket or a star would be an option of the line before.
            *("{}" + " & ".join(map(_latex_cell, row)) + r" \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    note = rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {latex_text(table.caption)}}}"
    return "\n".join([*lines[:-1], note, lines[-1], ""])


def _latex_cell(cell: str | None) -> str:
    return latex_text(DASH if cell is None else cell)


def _latex_columns(table: Table) -> str:
    wide = [any(len(row[at] or "") > _WIDE_CELL for row in table.rows) for at in _places(table)]
    return "".join(
        "r" if numeric else _WIDE_COLUMN if wraps else "l"
        for numeric, wraps in zip(table.numeric, wide, strict=True)
    )


def _places(table: Table) -> range:
    return range(len(table.columns))


def _pages(table: Table) -> list[list[tuple[str | None, ...]]]:
    """Return the rows that fit on each page; one page at least."""
    pages: list[list[tuple[str | None, ...]]] = [[]]
    used = 0
    for row in table.rows:
        lines = max((-(-len(cell or "") // _WIDE_CELL) for cell in row), default=1)
        if used and used + lines > _MOST_LINES:
            pages.append([])
            used = 0
        pages[-1].append(row)
        used += max(lines, 1)
    return pages


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name)


def _one_line(text: str) -> str:
    """Fold text to one line without control and formatting characters."""
    folded = " ".join(text.split())
    return "".join(sign for sign in folded if unicodedata.category(sign) not in ("Cc", "Cf", "Cs"))


# CSV ------------------------------------------------------------------------------------------

_FORMULA = re.compile(r"[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20|%]|[\t\r\n]")
"""How a cell begins that some spreadsheet takes for a formula: full-width signs count as well."""


def csv_cell(value: Value) -> Value:
    """Return what a CSV file holds for a value.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, and characters
    that would steer a terminal stand as escapes. A number stays a number, a negative one too, with
    every digit it has. None is an empty cell.
    """
    if isinstance(value, str):
        return visible(f"'{value}" if _FORMULA.match(value) else value)
    return "" if value is None else value


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """Return CSV with a line of names, every cell made safe by `csv_cell`."""
    text = io.StringIO(newline="")
    # The module quotes a carriage return only where it ends lines, too.
    writer = csv.writer(text, lineterminator="\r\n")
    lines = []
    for row in (columns, *rows):
        writer.writerow([csv_cell(value) for value in row])
        lines.append(text.getvalue().removesuffix("\r\n"))
        text.seek(0)
        text.truncate()
    return "\n".join([*lines, ""])


def as_csv(table: Table) -> str:
    """Return a table's values, not what is shown of them; nothing for a table without rows."""
    if not table.rows:
        return ""
    return csv_text(table.fields, table.values)
