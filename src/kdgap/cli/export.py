"""`kdgap export`: a study's results in the reference's layout, or a network as a file that ships.

What is named first decides: a study has results, a run or a weights file is a network. So `--to` is
a folder for the one and a format for the other (docs/adr/0022).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kdgap.store.study import StudyDirectory

EXAMPLES = (
    "Examples: kdgap export runs/digits/logit --to onnx --out student.onnx\n"
    "kdgap export student.safetensors --to hub --licence apache-2.0\n"
    "kdgap export runs/reference --to runs"
)


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|WEIGHTS|STUDY", help="What to export: a network, or a study's results."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT|FOLDER",
            help="Of a network: pt2, onnx, safetensors or hub. Of a study: the folder that gets"
            " select/, final/ and so on (default: runs).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file (hub: folder) to write; default: its name, here.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(help="Images to compare on; default: the data's validation images."),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder that holds the data; default: as the run says.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Of the weights, such as apache-2.0."),
    ] = None,
) -> None:
    """Export a network with preprocessing, class names and a model card; or a study's results."""
    from kdgap.errors import BadInputError
    from kdgap.paths import user_path
    from kdgap.shipping.formats import FORMATS
    from kdgap.store.study import StudyDirectory

    study = StudyDirectory(source)
    if study.exists():
        for name, given in (
            *(("--out", out), ("--images", images), ("--data-root", data_root)),
            ("--licence", licence),
        ):
            if given:
                raise BadInputError(
                    f"{source}: is a study; {name} goes with a run or a weights file"
                )
        if to in FORMATS:
            raise BadInputError(
                f"{source}: is a study, and --to {to} exports one network: name one of its runs,"
                f" such as {study.path / study.plan()['runs'][-1]['path']}; for a folder of that"
                f" name give ./{to}"
            )
        try:
            folder = user_path(to or "runs")
        except BadInputError as error:
            raise BadInputError(f"--to: {error}") from None
        _results(study, folder)
    else:
        _network(source, to, out, images or [], data_root, licence)


def _results(study: "StudyDirectory", folder: Path) -> None:
    """Write result files in the reference's layout; each carries the id of its run."""
    from kdgap.cli.printing import say
    from kdgap.errors import StoreDamagedError
    from kdgap.store.reference import export_study

    written, left_out = export_study(study, folder)
    say(f"{len(written)} result files under {folder}")
    if left_out:
        raise StoreDamagedError(f"{study.path}: {len(left_out)} left out: {left_out[0]}")


def _network(
    source: Path,
    to: str | None,
    out: Path | None,
    images: list[Path],
    data_root: Path | None,
    licence: str | None,
) -> None:
    from kdgap.cli.printing import answer, say
    from kdgap.cli.progress import working
    from kdgap.errors import BadInputError
    from kdgap.shipping.formats import FORMATS, check_format, check_target, kind_of

    kind_of(source)
    if to is None:
        raise BadInputError(f"{source}: give a format with --to: {', '.join(FORMATS)}")
    check_format(to)
    if out is not None:
        check_target(out, to)  # before torch is loaded
    from kdgap.shipping.exporting import export_model

    with working(f"exporting {source}"):
        written = export_model(source, to, out, images=images, data_root=data_root, licence=licence)
    for path in written.files:
        answer(str(path), wrap=False)
    for remark in written.remarks:
        say(remark)
