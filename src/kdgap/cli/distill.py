"""`kdgap distill`: a student, a teacher, a folder of images; a verdict and a model to ship."""

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kdgap.spec.run import Precision
    from kdgap.study.workspace import Workspace

EXAMPLES = (
    "Examples: kdgap distill --teacher resnet18 --student resnet8 --data photos\n"
    "kdgap distill --teacher big.safetensors --student mobilenetv2_half --data photos"
    " --method dist --seeds 5 --to onnx"
)
LONG = 3600.0
"""Seconds above which it is asked before anything is trained."""


def distill(
    teacher: Annotated[
        str, typer.Option(help="A network's name, which is trained, or a weights file.")
    ],
    student: Annotated[str, typer.Option(help="A network's name; kdgap models lists them.")],
    data: Annotated[
        str, typer.Option(metavar="FOLDER|NAME", help="A folder of images, or a data set's name.")
    ],
    method: Annotated[str, typer.Option(help="How the teacher teaches; see methods.")] = "logit",
    seeds: Annotated[int, typer.Option(help="How many of each student.", min=2, max=100)] = 3,
    epochs: Annotated[int, typer.Option(help="Of each run.", min=1, max=100_000)] = 30,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side in pixels; default: as they are, or 64.", min=4),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder that holds a data set given by its name.")
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="The model to ship: onnx, pt2, safetensors, hub or none.")
    ] = "safetensors",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the study."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study; default: runs/NAME.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.", min=1, max=256)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before more than an hour of work.")
    ] = False,
) -> None:
    """Train a student with and without its teacher, say what the teacher gave, and ship the best.

    Stop it and start it again as you like. It leaves a study, which `kdgap run`, `show`, `report`
    and `explore` take, and a file that says what was done (study.yaml).
    """
    from kdgap.paths import user_path
    from kdgap.shipping.formats import check_format
    from kdgap.yamlio import parse_assignments

    if to != "none":
        check_format(to)
    if data_root is None and Path(data).name != data:
        data = str(user_path(data))
    overrides = parse_assignments(assignments or [], nested=True)
    name = _name(teacher, student, data)
    workspace = _workspace(
        name, teacher, student, data, data_root, method, seeds, epochs, image_size, device, out,
        overrides,
    )  # fmt: skip
    from kdgap.cli.printing import say
    from kdgap.cli.study import run_study
    from kdgap.spec.study import STAGES
    from kdgap.study.clock import process_age
    from kdgap.study.listed import refuse_start

    started = process_age()
    # Before anything is said of the time: it would be that of what is then refused.
    refuse_start(workspace.directory, workspace.study.data, workspace.where, replace=True)
    seconds = _planned(workspace, device, started)
    if seconds is not None and seconds > LONG and not yes:
        _ask(seconds)
    directory = run_study(workspace, workers, list(STAGES), device, as_json=False)
    if to == "none":
        return
    from kdgap.shipping.exporting import export_model
    from kdgap.shipping.formats import FORMATS
    from kdgap.study.distilling import shipped_run

    run, words = shipped_run(directory)
    target = directory.path / f"model{FORMATS[to]}"
    if target.exists():
        say(f"Model: {target} (was there already; remove it to write it again)")
        return
    written = export_model(run, to, target, data_root=Path(workspace.study.data.root))
    say(f"Model: {', '.join(str(path) for path in written.files)} ({words})")
    for remark in written.remarks:
        say(remark)


def _name(teacher: str, student: str, data: str) -> str:
    """Return a name for the study, which is also its folder's."""
    words = ["distill", Path(data).name, Path(teacher).stem, "to", student]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words)).strip("-.")[:80]


def _workspace(
    name: str,
    teacher: str,
    student: str,
    data: str,
    data_root: Path | None,
    method: str,
    seeds: int,
    epochs: int,
    image_size: int | None,
    device: str,
    out: Path | None,
    overrides: dict[str, object],
) -> "Workspace":
    from kdgap import yamlio
    from kdgap.planning.early import check_study
    from kdgap.spec.study_file import read_study
    from kdgap.study.distilling import Wish, distilling_study

    wish = Wish(teacher, student, data, data_root, method, seeds, epochs, image_size)
    draft = distilling_study(wish, name)

    def parsed(text: str) -> yamlio.Document:
        return yamlio.parse(text, "kdgap distill").unnumbered()

    spec, where = read_study(parsed(draft.text("fp32")), overrides)
    check_study(spec, where)  # what is refused without torch
    from kdgap.study.workspace import written_study

    precision = _precision(out or Path("runs") / name, device)
    text = draft.text(precision)
    return written_study(text, parsed(text), overrides, out)


def _precision(folder: Path, device: str) -> "Precision":
    """Return the precision of the study that is in a folder, or else what is fast here."""
    from kdgap.engine.device import fast_bf16, pick_device
    from kdgap.errors import KdgapError
    from kdgap.spec.study import StudySpec
    from kdgap.store.study import StudyDirectory

    fast: Precision = "bf16" if fast_bf16(pick_device(device)) else "fp32"
    if StudyDirectory(folder).exists():
        with suppress(KdgapError, KeyError, ValueError):  # what is damaged there is said later
            return StudySpec.model_validate(StudyDirectory(folder).plan()["study"]).precision
    return fast


def _planned(workspace: "Workspace", device: str, started: float | None) -> float | None:
    """Say what it takes, time first; return the seconds, None where they are not known.

    `started`: the seconds until the study was read.
    """
    from kdgap.cli.printing import say
    from kdgap.engine.device import pick_device
    from kdgap.numbers import duration, gib
    from kdgap.study.forecast import forecast

    plan, _ = workspace.plan()
    done = {
        run.id
        for run in plan.runs.values()
        if workspace.directory.status(run.path, verify=False).state == "done"
    }
    ahead = forecast(workspace, plan, pick_device(device), done, say=say, started=started)
    left = f"{len(plan.runs) - len(done)} of {len(plan.runs)} runs"
    if ahead["seconds"] is None:
        say(f"{left}; time and disk are known once the images were read for the first time")
    else:
        say(
            f"about {duration(ahead['seconds'])} (between {duration(ahead['seconds_low'])} and"
            f" {duration(ahead['seconds_high'])}) on {ahead['device']} and"
            f" {gib(ahead['disk_bytes'])} of disk: {left} in {workspace.directory.path}"
        )
    seconds: float | None = ahead["seconds"]
    return seconds


def _ask(seconds: float) -> None:
    """Ask whether to begin; where nobody can answer, refuse.

    Raises:
        BadInputError: nobody can answer.
        Exit: the answer is no.
    """
    import sys

    from kdgap.errors import BadInputError
    from kdgap.numbers import duration

    if not sys.stdin.isatty():
        raise BadInputError(
            f"this takes about {duration(seconds)}; add --yes to begin, or fewer --epochs or"
            " --seeds"
        )
    if not typer.confirm(f"This takes about {duration(seconds)}. Begin?", err=True):
        raise typer.Exit(0)
