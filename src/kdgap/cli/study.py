"""`kdgap run`: a whole study, as far as it is not done; and the worker that it starts."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdgap.advice import command
from kdgap.cli.cluster import RAY, connected, keep_report, place_of, refuse_mirror, run_on_ray
from kdgap.cli.given import DataRoot, GivenTeachers

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdgap.cli.study_progress import StudyProgress
    from kdgap.notice import Notice
    from kdgap.spec.claims import Claim
    from kdgap.spec.complaints import Where
    from kdgap.store.study import StudyDirectory
    from kdgap.study.workspace import Workspace

EXAMPLES = (
    "Examples: kdgap run configs/studies/digits.yaml --workers 2\n"
    "kdgap run configs/studies/reference.yaml --only teachers --set data.root=data\n"
    "kdgap run runs/digits"
)


StudyArgument = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A study file, or the directory of a study.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as recipe.epochs=1."),
]
Out = Annotated[Path | None, typer.Option(help="The study's directory; default: runs/NAME.")]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE",
        help="Do this alone: teachers, selection, finals, ablations, or an ablation by its name;"
        " may be repeated.",
    ),
]


def known_kinds(claims: "Sequence[Claim]", where: "Where") -> None:
    """Refuse a claim of a kind that there is not, before anything is trained."""
    if claims:
        from kdgap.judge.load import check_kinds

        check_kinds(claims, where)


def refuse_early(study: Path, assignments: list[str] | None) -> dict[str, object]:
    """Refuse a study's file for what can be known without torch; return the parsed overrides."""
    from kdgap import yamlio
    from kdgap.planning.early import check_study
    from kdgap.spec.study_file import read_study
    from kdgap.yamlio import parse_assignments

    overrides = parse_assignments(assignments or [], nested=True)
    if study.is_file() or not study.exists():  # what comes through a pipe can be read once
        spec, where = read_study(yamlio.load(study), overrides)
        check_study(spec, where)
        known_kinds(spec.claims, where)
    return overrides


def run(
    study: StudyArgument,
    workers: Annotated[
        int, typer.Option(help="Processes; on several GPUs one device each.", min=1, max=256)
    ] = 1,
    only: Only = None,
    assignments: Sets = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="Where the study is kept; default: runs/NAME. A URL, such as s3://BUCKET/NAME,"
            " with --ray.",
        ),
    ] = None,
    data_root: DataRoot = None,
    teacher_weights: GivenTeachers = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the gains as JSON.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            RAY,
            metavar="[ADDRESS]",
            help="Train on a Ray cluster: auto (the one that runs here), local, HOST:PORT or"
            " ray://HOST:PORT.",
        ),
    ] = None,
    one_environment: Annotated[
        bool,
        typer.Option(
            "--one-environment",
            help="With --ray: only on machines of one kind (device, CPU, libraries), so that equal"
            " runs give equal bits.",
        ),
    ] = False,
) -> None:
    """Train and judge what is missing of a study; stop it and start it again as you like."""
    from kdgap.errors import BadInputError, nearest, one_line
    from kdgap.running.places import Places
    from kdgap.spec.study import STAGES

    directory, mirror = place_of(out, study)
    overrides = refuse_early(study, assignments)
    from kdgap.engine.device import pick_device
    from kdgap.study.workspace import open_study

    if mirror is not None:
        mirror.pull()
    places = Places(data_root, teacher_weights or ())
    workspace = open_study(study, overrides, directory, places)
    refuse_mirror(mirror, ray)
    known_kinds(workspace.study.claims, lambda _: str(study))
    pick_device(device)
    stages = list(only or STAGES)
    for stage in stages:
        known = (*STAGES, *workspace.study.ablations)
        if stage not in known:
            raise BadInputError(
                f"--only: unknown stage {one_line(stage, 60)!r}{nearest(stage, known)};"
                f" known: {', '.join(known)}"
            )
    if ray is None:
        run_study(workspace, workers, stages, device, as_json=as_json)
        return
    with connected(workspace, mirror, ray) as (storage, engine):
        on_cluster = partial(
            run_on_ray,
            *(workspace, mirror, storage, engine, device, stages),
            one_environment=one_environment,
        )
        run_study(workspace, workers, stages, device, as_json=as_json, on_cluster=on_cluster)


def run_study(
    workspace: "Workspace",
    workers: int,
    stages: Sequence[str],
    device: str,
    *,
    as_json: bool,
    on_cluster: "Callable[[StudyProgress], list[str]] | None" = None,
) -> "StudyDirectory":
    """Do what is missing of a study, print the verdicts, and leave the report in its directory.

    Raises:
        KdgapError: something is left undone, which the message names.
    """
    from kdgap.cli.printing import say
    from kdgap.cli.study_progress import StudyProgress
    from kdgap.cli.tidying import tidy
    from kdgap.engine.device import worker_devices
    from kdgap.errors import RunFailedError, StoreDamagedError, WorkerError
    from kdgap.running.places import options
    from kdgap.store.notices import of_plan
    from kdgap.study.supervise import Supervisor, crowding
    from kdgap.study.workspace import start_study

    if workspace.directory.exists():
        tidy(workspace.directory)  # first, for the disk may be full of it
    directory = start_study(workspace, say)
    before = {path for path in directory.run_paths() if directory.run(path).is_done()}
    notices = of_plan(directory.plan())
    crowded = "" if on_cluster else crowding(workspace, workers)
    if crowded:
        say(f"note: {crowded}")
    with StudyProgress(directory) as display:
        if on_cluster is not None:
            damaged = on_cluster(display)
            code, words = (StoreDamagedError.exit_code, damaged[0]) if damaged else (0, "")
        else:
            supervisor = Supervisor(
                directory.path,
                worker_devices(device, workers),
                options(workspace.study),
                stages,
                display.refresh,
                display.say,
            )
            code, words = supervisor.run()
    tidy(directory)
    if code not in (0, StoreDamagedError.exit_code):
        raise WorkerError(words, code)
    open_runs = directory.plan()["open_runs"]
    if open_runs and {"finals", *workspace.study.ablations} & set(stages):
        say(f"note: {open_runs} runs are open until selection has ended; run without --only")
    unwritten = ""
    try:
        _judge(directory, display.seconds, before, shown=notices, as_json=as_json)
    except OSError as error:  # what was trained is kept, and what became of it is told all the same
        unwritten = f"{error.filename or directory.path}: {error.strerror or error}"
        say(f"note: the report is not written: {unwritten}")
    _report(directory, stages)
    if code:  # damage that only a worker met, in weights or for a moment
        raise WorkerError(words, code)
    if unwritten:
        raise RunFailedError(
            f"{unwritten}; all runs are kept: make room, then `{command('report', directory.path)}`"
        )
    return directory


def _judge(
    directory: "StudyDirectory",
    seconds: float,
    before: set[str],
    *,
    shown: Collection["Notice"],
    as_json: bool,
) -> None:
    """Print the verdicts so far, and leave analysis and report in the study's directory.

    Args:
        directory: the study's.
        seconds: how long it was worked on now.
        before: the paths of runs that were finished when that began.
        shown: what was printed before.
        as_json: print them as JSON.
    """
    from kdgap.cli.judging import write_report
    from kdgap.cli.printing import print_json, say
    from kdgap.cli.verdicts import print_verdicts
    from kdgap.judge.document import to_json
    from kdgap.judge.judging import analyse
    from kdgap.judge.study_evidence import study_evidence

    evidence = study_evidence(directory)
    if not any(run.test for run in evidence.runs):
        say(f"nothing was tested yet; `{command('status', directory.path)}` says how far it is")
        return
    analysis = analyse(evidence)
    if as_json:
        print_json(to_json(analysis))
    else:
        done = [run for run in evidence.runs if run.state == "done"]
        now = sum(before.isdisjoint(run.paths) for run in done)
        print_verdicts(analysis, seconds, now=now, shown=shown)
    target = directory.path / "report.html"
    write_report(evidence, analysis, target)
    keep_report(target)
    if not as_json:
        say(f"Report: {target}   Explore: {command('explore', directory.path)}")


def _report(directory: "StudyDirectory", stages: Collection[str]) -> None:
    """Say what is left undone and why, which also decides the exit code."""
    from kdgap.cli.printing import say
    from kdgap.errors import RunFailedError, StoreDamagedError
    from kdgap.spec.study import STAGES
    from kdgap.store.progress import survey

    seen = survey(directory)
    for row in seen.rows:
        if row.state in ("failed", "blocked", "damaged"):
            say(f"{row.state}: {row.path}: {row.remark}")
    damaged, failed = seen.count("damaged"), seen.count("failed") + seen.count("blocked")
    if damaged:
        raise StoreDamagedError(
            f"{directory.path}: {damaged} damaged, left out of every number;"
            f" `{command('clean', directory.path)}` removes them so that they are trained again"
        )
    if seen.faults:
        raise StoreDamagedError(seen.faults[0])
    if failed:
        raise RunFailedError(
            f"{directory.path}: {failed} runs failed or are blocked by one that did; the rest is"
            f" done. `{command('clean', directory.path)}` lets them be tried again"
        )
    left = [row for row in seen.rows if row.state in ("new", "interrupted")]
    undone = len(left) + seen.open_runs
    if set(stages) >= set(STAGES) and undone:
        raise RunFailedError(f"{directory.path}: {undone} runs are not done; start it again")
    if "teachers" not in stages and any(row.roles == ["teacher"] for row in left):
        raise RunFailedError(
            f"{directory.path}: teachers are missing, so their students cannot be trained; add"
            " --only teachers"
        )


def worker(
    study: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="A study's directory.")],
    device: Annotated[str, typer.Option(help="The device to train on.")] = "auto",
    share: Annotated[int, typer.Option(help="How many workers there are.", min=1)] = 1,
    parent: Annotated[int | None, typer.Option(help="Stop when this process is gone.")] = None,
    data_root: DataRoot = None,
    teacher_weights: GivenTeachers = None,
    only: Only = None,
) -> None:
    """One runner of `kdgap run`; stops when the process that started it is gone."""
    from kdgap.errors import StoreDamagedError
    from kdgap.running.places import Places
    from kdgap.running.stop import Stopper
    from kdgap.spec.study import STAGES
    from kdgap.study.clock import process_age
    from kdgap.study.worker import Worker
    from kdgap.study.workspace import open_study
    from kdgap.terminal import tell

    with Stopper(parent) as pause:
        workspace = open_study(study, places=Places(data_root, teacher_weights or ()))
        stages = list(only or STAGES)
        runner = Worker(workspace, device, stages, share, pause, tell, process_age())
        runner.work()
    if runner.damaged:
        path = workspace.directory.path
        raise StoreDamagedError(
            f"{path}: {len(runner.damaged)} damaged, and what needs it waits: {runner.damaged[0]};"
            f" `{command('clean', path)}` removes what is damaged, then start it again"
        )
