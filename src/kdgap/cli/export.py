"""`kdgap export`: a study's results as small files in the reference study's layout."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example: kdgap export runs/reference --to runs"


def export(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's directory.")],
    to: Annotated[Path, typer.Option(help="The folder that gets select/, final/ and so on.")] = (
        Path("runs")
    ),
) -> None:
    """Write result files in the reference's layout; each carries the id of its run."""
    from kdgap.cli.printing import say
    from kdgap.errors import StoreDamagedError
    from kdgap.store.reference import export_study
    from kdgap.store.study import StudyDirectory

    written, left_out = export_study(StudyDirectory(study), to)
    say(f"{len(written)} result files under {to}")
    if left_out:
        raise StoreDamagedError(f"{study}: {len(left_out)} left out: {left_out[0]}")
