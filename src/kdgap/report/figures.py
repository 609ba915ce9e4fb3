"""Every figure of an analysis, and the files that hold them.

Each function returns a `Figure`; `save_figures` writes them all as PNG, SVG and PDF. Whoever saves
a figure enters `figure_style.style()`, so that the reader's own matplotlib settings do not matter.
"""

import re
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kdgap.errors import BadInputError
from kdgap.files import write_atomic
from kdgap.report.curves import NORMS, convergence, gradient_norms
from kdgap.report.evidence import Evidence
from kdgap.report.figure_arms import pairs, students
from kdgap.report.figure_gains import capacity_plot, interval_plot
from kdgap.report.figure_grid import selection_grid
from kdgap.report.figure_points import fidelity_plot, seed_plot
from kdgap.report.figure_power import power_curve
from kdgap.report.figure_style import style

__all__ = [
    "all_figures",
    "capacity_plot",
    "convergence",
    "fidelity_plot",
    "gradient_norms",
    "interval_plot",
    "power_curve",
    "save_figures",
    "seed_plot",
    "selection_grid",
]

FORMATS = ("png", "svg", "pdf")
# No date and no version, so that the same analysis gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def all_figures(evidence: Evidence, analysis: dict[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Yield (name, figure) of everything that these runs recorded; the name is safe for a file."""
    wanted: list[tuple[str, partial[Figure]]] = [
        ("gains", partial(interval_plot, analysis)),
        ("seeds", partial(seed_plot, evidence, analysis)),
        ("capacity", partial(capacity_plot, analysis)),
        ("power", partial(power_curve, evidence, analysis)),
    ]
    for student in students(analysis):
        wanted.append((f"convergence-{student}", partial(convergence, evidence, analysis, student)))
        wanted += [
            (f"{key}-{student}", partial(gradient_norms, evidence, analysis, student, key))
            for key in NORMS
        ]
    for teacher, student in pairs(analysis):
        draw = partial(fidelity_plot, evidence, analysis, teacher, student)
        wanted.append((f"fidelity-{teacher}-{student}", draw))
    for tuning in analysis["selection"]:
        name = f"selection-{tuning['teacher']}-{tuning['student']}-{tuning['method']}"
        wanted.append((name, partial(selection_grid, tuning)))
    for name, draw in wanted:
        try:
            figure = draw()
        except ValueError:  # nothing of it was recorded
            continue
        yield re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-."), figure


def save_figures(evidence: Evidence, analysis: dict[str, Any], folder: Path) -> list[Path]:
    """Write every figure as PNG, SVG and PDF; return the paths.

    Raises:
        BadInputError: the folder cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in all_figures(evidence, analysis):
            for ending in FORMATS:
                path = folder / f"{name}.{ending}"
                write_atomic(path, figure_bytes(figure, ending))
                paths.append(path)
    except OSError as error:
        raise BadInputError(f"cannot write {folder}: {error.strerror}") from None
    return paths


def figure_bytes(figure: Figure, ending: str) -> bytes:
    """Return a figure as a file of one of `FORMATS`; the same figure gives the same bytes."""
    stream = BytesIO()
    with style():
        figure.savefig(stream, format=ending, dpi=200, metadata=_METADATA[ending])
    return stream.getvalue()
