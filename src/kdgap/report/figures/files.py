"""Every figure of an analysis, and the files that hold them.

Figures are saved within `style()`, so that the reader's own matplotlib settings do not matter.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kdgap.files import make_folder
from kdgap.judge.analysis import Analysis
from kdgap.judge.answers import NoAnswersError
from kdgap.judge.context import Context
from kdgap.judge.evidence import Evidence
from kdgap.judge.grids import grid
from kdgap.judge.image_by_image import image_by_image
from kdgap.judge.ranking import rankings
from kdgap.report.figures.answers import confusion_change, reliability_plot
from kdgap.report.figures.arms import pairs, students, tunings
from kdgap.report.figures.curves import NORMS, ablation_curves, convergence, gradient_norms
from kdgap.report.figures.gains import capacity_plot, interval_plot
from kdgap.report.figures.grid import selection_grid
from kdgap.report.figures.points import fidelity_plot, seed_plot
from kdgap.report.figures.power import power_curve
from kdgap.report.figures.ranking import ranking_plot
from kdgap.report.figures.style import style
from kdgap.staging import Staging

FORMATS = ("png", "svg", "pdf")
DPI = 200
# No date and no version, so that the same analysis gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def all_figures(evidence: Evidence, analysis: Analysis) -> Iterator[tuple[str, Figure]]:
    """Yield (name, figure) of everything that these runs recorded; the name is safe for a file."""
    context = Context(evidence)
    wanted: list[tuple[str, partial[Figure]]] = [
        ("gains", partial(interval_plot, analysis)),
        ("seeds", partial(seed_plot, evidence, analysis)),
        ("capacity", partial(capacity_plot, analysis)),
        ("power", partial(power_curve, evidence, analysis)),
    ]
    wanted += [
        (f"which-{ranking.name}", partial(ranking_plot, ranking, analysis))
        for ranking in rankings(context)
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
    for tuning in tunings(analysis):
        name = f"selection-{tuning.teacher}-{tuning.student}-{tuning.method}"
        wanted.append((name, partial(selection_grid, tuning, grid(tuning, evidence))))
    wanted += _of_answers(context, analysis)
    for ablation in analysis.ablations:
        draw = partial(ablation_curves, evidence, analysis, ablation)
        wanted.append((f"ablation-{ablation.name}", draw))
    for name, draw in wanted:
        try:
            figure = draw()
        except ValueError:  # nothing of it was recorded
            continue
        yield re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-."), figure


def _of_answers(context: Context, analysis: Analysis) -> Iterator[tuple[str, partial[Figure]]]:
    """Yield the figures of what networks answered, of gains whose runs keep it."""
    for arm, gain in zip(context.finals, analysis.gains, strict=True):
        with suppress(NoAnswersError):
            pictured = image_by_image(arm, context.baseline(arm), context.evidence)
            name = f"{gain.teacher}-{gain.student}-{gain.method}"
            yield f"confusions-{name}", partial(confusion_change, gain, pictured)
            yield f"reliability-{name}", partial(reliability_plot, gain, pictured, analysis)


def save_figures(figures: Iterable[tuple[str, Figure]], folder: Path, dpi: int = DPI) -> list[Path]:
    """Write named figures as PNG, SVG and PDF; return the paths.

    Args:
        figures: names that are safe for a file, with what each names. A name that came before gets
            a number.
        folder: where they go; made where it is missing.
        dpi: pixels of the PNG per inch.

    Raises:
        OSError: the folder cannot be written; the figures that were there stay.
    """
    paths: list[Path] = []
    taken: Counter[str] = Counter()
    make_folder(folder)
    with Staging() as staging:
        for name, figure in figures:
            taken[name.lower()] += 1  # a disk may not tell A from a
            times = taken[name.lower()]
            own = name if times == 1 else f"{name}-{times}"
            for ending in FORMATS:
                path = folder / f"{own}.{ending}"
                staging.write(path, figure_bytes(figure, ending, dpi))
                paths.append(path)
    return paths


def figure_bytes(figure: Figure, ending: str, dpi: int = DPI) -> bytes:
    """Return a figure as a file of one of `FORMATS`; the same figure gives the same bytes."""
    stream = BytesIO()
    with style():
        figure.savefig(stream, format=ending, dpi=dpi, metadata=_METADATA[ending])
    return stream.getvalue()
