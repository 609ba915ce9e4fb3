"""The tables of an analysis, and the files that hold them.

Each table is made once, as data. `forms.py` turns it into Markdown, LaTeX and CSV, `frames.py` into
a pandas frame. What is shown has accuracies in percent with two decimals and differences in
percentage points with their sign; the values keep every digit under names that say their unit:
`_pp` is percentage points, a single run's accuracy a share of one.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kdgap.files import make_folder, write_atomic
from kdgap.judge.analysis import Analysis
from kdgap.judge.evidence import Evidence
from kdgap.report.tables.forms import (
    LATEX_HEAD,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    markdown_text,
)
from kdgap.report.tables.judged import (
    ablations,
    contrasts,
    gains,
    reference_gains,
    sensitivity,
)
from kdgap.report.tables.measured import fidelity, levels, runs, selection

MOST_READ = 1000
"""Rows of the longest table in Markdown and LaTeX."""


def all_tables(evidence: Evidence, analysis: Analysis) -> list[Table]:
    """Return every table, also those without a row; what is odd of the protocol is in each."""
    tables = [
        gains(analysis),
        *([reference_gains(analysis)] if analysis.settings.reference else []),
        contrasts(analysis),
        levels(analysis),
        fidelity(analysis),
        ablations(analysis),
        selection(analysis),
        sensitivity(analysis),
        runs(evidence),
    ]
    mind = f" Mind: {'; '.join(evidence.marks)}." if evidence.marks else ""
    return [replace(table, caption=table.caption + mind) for table in tables]


def write_tables(
    evidence: Evidence,
    analysis: Analysis,
    folder: Path,
    write: Callable[[Path, bytes], None] = write_atomic,
) -> list[Path]:
    """Write `tables.md`, `tables.tex` and a CSV a table; return their paths.

    A table without a row is still a file, so that none of an earlier analysis stays behind.

    Args:
        evidence: the runs.
        analysis: what `analyse` returned.
        folder: where they go; made where it is missing.
        write: writes one file.
    """
    tables = all_tables(evidence, analysis)
    unnamed = reference_gains(analysis)
    if analysis.settings.reference is None and (folder / f"{unnamed.name}.csv").exists():
        tables.append(unnamed)  # of an earlier analysis, which named a reference
    # Nobody reads thousands of runs on paper: a long table is a CSV file alone.
    read = [table for table in tables if len(table.rows) <= MOST_READ]
    texts = {
        "tables.md": "\n".join([f"# {markdown_text(evidence.name)}\n", *map(as_markdown, read)]),
        "tables.tex": "\n".join([LATEX_HEAD, *(as_latex(table) for table in read if table.rows)]),
        **{f"{table.name}.csv": as_csv(table) for table in tables},
    }
    make_folder(folder)
    for name, text in texts.items():
        write(folder / name, text.encode())
    return [folder / name for name in texts]
