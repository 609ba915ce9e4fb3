"""`kdgap status`, `verify` and `clean`: how far a study is, whether it is whole, what may go."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdgap import bulk
from kdgap.advice import command
from kdgap.cli.given import DataRoot, GivenTeachers
from kdgap.cli.study import Out, StudyArgument
from kdgap.files import remove, remove_at_once

if TYPE_CHECKING:
    from kdgap.planning.plan import Plan, PlannedRun
    from kdgap.store.progress import Survey
    from kdgap.store.record import RunDirectory
    from kdgap.store.study import StudyDirectory
    from kdgap.study.workspace import Workspace

STATUS_EXAMPLES = "Examples: kdgap status runs/digits\nkdgap status configs/studies/digits.yaml"
VERIFY_EXAMPLES = (
    "Examples: kdgap verify runs/digits\nkdgap verify runs/digits --rerun 3\n"
    "kdgap verify runs/digits --run 0f3a9c21"
)
CLEAN_EXAMPLES = "Examples: kdgap clean runs/digits\nkdgap clean runs/digits --yes"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_COLUMNS = ("done", "running", "interrupted", "new", "failed", "blocked", "damaged")


def _directory(study: Path, out: Path | None) -> "StudyDirectory":
    """Return a study's directory, and say if its file was edited since it was last run."""
    from kdgap import yamlio
    from kdgap.cli.printing import say
    from kdgap.errors import BadInputError
    from kdgap.spec.study_file import read_study
    from kdgap.store.study import StudyDirectory

    if study.is_dir():
        if out is not None:
            raise BadInputError(f"{study}: --out goes with a study file")
        return StudyDirectory(study)
    spec, _ = read_study(yamlio.load(study), {})
    directory = StudyDirectory(out or Path("runs") / spec.name)
    if directory.exists() and directory.plan()["study"] != spec.model_dump(mode="json"):
        compare = command("plan", study, *(("--out", out) if out else ()))
        say(f"note: {study} is not what was last run in {directory.path}; `{compare}` compares")
    return directory


def status(study: StudyArgument, out: Out = None, as_json: Json = False) -> None:
    """Show how far a study is: by stage, what is going on now, what failed and why."""
    from kdgap.cli.printing import answer, print_json, print_table, say
    from kdgap.errors import StoreDamagedError
    from kdgap.notice import shorts
    from kdgap.numbers import duration
    from kdgap.store.notices import of_plan
    from kdgap.store.progress import kept_left, live, survey

    directory = _directory(study, out)
    seen, runners = survey(directory), live(directory.path)
    left = kept_left(directory.path) if runners else None
    plan = seen.plan
    if as_json:
        print_json(
            {
                "study": plan["study"]["name"],
                "path": str(directory.path),
                "selection_complete": plan["selection_complete"],
                "runs": [vars(row) for row in seen.rows],
                "open_runs": seen.open_runs,
                "stale": seen.stale,
                "live": runners,
                "left": left,
                "faults": seen.faults,
                "notes": seen.notes,
            }
        )
    else:
        notices = of_plan(plan)
        for notice in notices:
            say(f"note: {notice.text}")
        stages = seen.by_stage()
        if seen.open_runs:
            stages["open finals"] = Counter({"new": seen.open_runs})
        columns = [c for c in _COLUMNS if c == "done" or any(s[c] for s in stages.values())]
        rows = [
            [role, *(str(count[c]) if count[c] else None for c in columns)]
            for role, count in stages.items()
        ]
        total = len(seen.rows) + seen.open_runs
        chosen = "selection is over" if plan["selection_complete"] else "selection goes on"
        mind = "".join(f"; {short}" for short in shorts(notices))
        caption = (
            f"{seen.count('done')} of {total} runs done; {chosen}; {len(seen.stale)} stale{mind}"
        )
        name, path = plan["study"]["name"], directory.path
        title = str(path) if path.name == name else f"{name}: {path}"
        print_table(title, ["", *columns], rows, caption)
        for runner in runners:
            answer(_doing(runner, seen))
        if left is not None:
            answer(f"about {duration(left)} left")
        for row in seen.rows:
            if row.state in ("failed", "blocked"):
                say(f"{row.state}: {row.path}: {row.remark}")
        for note in seen.notes:
            say(f"note: {note}")
        for fault in seen.faults:
            say(f"damaged: {fault}")
    damaged = [row for row in seen.rows if row.state == "damaged"]
    if damaged:
        names = "; ".join(row.remark for row in damaged[:5])
        raise StoreDamagedError(f"{len(damaged)} damaged, left out everywhere: {names}")
    if seen.faults:
        raise StoreDamagedError(seen.faults[0])


def _doing(runner: Mapping[str, Any], seen: "Survey") -> str:
    slots = {row.id: row.slot for row in seen.rows}
    who = f"process {runner['pid']} on {runner['host']}: {runner.get('phase', '')}"
    runs = runner.get("runs")
    if not isinstance(runs, dict) or not runs:
        return who
    identifier, at = next(iter(runs.items()))
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    place = f"epoch {at['epoch']}/{at['epochs']}, step {at['step']}/{at['steps']}"
    return f"{who} {slots.get(identifier, identifier[:8])}{more}, {place}"


def verify(
    study: StudyArgument,
    rerun: Annotated[
        int, typer.Option(help="Also train this many random runs again and compare.", min=0)
    ] = 0,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Also train this run again and compare: its id, or how that begins.",
        ),
    ] = None,
    out: Out = None,
    data_root: DataRoot = None,
    teacher_weights: GivenTeachers = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Hash every file of every finished run, and compare the study's own files with them."""
    from kdgap.cli.printing import answer, print_json
    from kdgap.errors import StoreDamagedError

    directory = _directory(study, out)
    plan = directory.plan()
    again = None
    if rerun or run is not None:
        from kdgap.running.places import Places
        from kdgap.study.workspace import open_study

        places = Places(data_root, teacher_weights or ())
        workspace = open_study(directory.path, places=places)
        again = workspace, _chosen(workspace, rerun, run)
    good, bad, notes = _hash_all(directory, plan)
    results = _rerun(*again, device) if again else []
    bad += [
        f"{r['path']}: trained again, {', '.join(r['differs'])} differ"
        for r in results
        if r["differs"] and r["same_environment"]
    ]
    if as_json:
        print_json({"verified": good, "damaged": bad, "notes": notes, "reruns": results})
    else:
        answer(f"{len(good)} finished runs verified, {len(bad)} damaged")
    if bad:
        raise StoreDamagedError(f"{directory.path}: {len(bad)} damaged: {'; '.join(bad[:3])}")


@bulk.kept()
def _hash_all(
    directory: "StudyDirectory", plan: Mapping[str, Any]
) -> tuple[list[str], list[str], list[str]]:
    """Return the paths of the runs that are whole, what is wrong, and what nothing vouches for."""
    from kdgap.cli.printing import say
    from kdgap.cli.progress import each
    from kdgap.errors import KdgapError
    from kdgap.store.audit import audit
    from kdgap.store.witness import Witness

    witnesses = {}
    ids = {planned["path"]: planned["id"] for planned in plan["runs"]}
    good, bad, notes = [], [], []
    for path in each(directory.run_paths(), "checking files", "runs"):
        run = directory.run(path)
        notes += run.passed_over()
        status = directory.status(path, verify=False)
        if status.state == "damaged":
            bad.append(status.remark)
        if status.state != "done":
            continue
        try:
            record = directory.record(path, hash_weights=True)
        except KdgapError as error:
            bad.append(str(error))
            continue
        if ids.get(path, record.id) != record.id:
            bad.append(f"{record.path}: holds run {record.id[:12]}")
            continue
        witnesses[record.id] = Witness.of(record)
        good.append(path)
    faults, unsealed = audit(directory, plan, witnesses)
    bad += faults
    notes += unsealed
    for note in notes:
        say(f"note: {note}")
    for fault in bad:
        say(f"damaged: {fault}")
    return good, bad, notes


def _chosen(workspace: "Workspace", count: int, named: str | None) -> list["PlannedRun"]:
    """Choose what is trained again: the named run, and so many random finished ones."""
    import random

    plan, _ = workspace.plan()
    first = [] if named is None else [_named(workspace, plan, named)]
    done = [p for p in plan.runs.values() if workspace.directory.run(p.path).is_done()]
    sample = random.SystemRandom().sample(done, min(count, len(done)))
    return first + [planned for planned in sample if planned not in first]


def _named(workspace: "Workspace", plan: "Plan", named: str) -> "PlannedRun":
    """Return the finished run whose id is named, or begins so."""
    from kdgap.errors import BadInputError, one_line

    directory = workspace.directory
    place = f"--run {one_line(named, 70)}: {directory.path}"
    runs = [p for p in plan.runs.values() if named and p.id.startswith(named.lower())]
    if not runs:
        raise BadInputError(
            f"{place} plans no run whose id begins so;"
            f" `{command('status', directory.path, '--json')}` lists them"
        )
    if len(runs) > 1:
        raise BadInputError(
            f"{place} has {len(runs)} runs whose ids begin so, such as {runs[0].id[:16]} and"
            f" {runs[1].id[:16]}; give more of the id"
        )
    if not directory.run(runs[0].path).is_done():
        raise BadInputError(f"{place}/{runs[0].path} is not finished: nothing to compare with")
    return runs[0]


def _rerun(workspace: "Workspace", chosen: list["PlannedRun"], device: str) -> list[dict[str, Any]]:
    from kdgap.cli.printing import say
    from kdgap.cli.progress import progress
    from kdgap.engine.device import pick_device
    from kdgap.running.stop import Stopper
    from kdgap.study.rerun import rerun

    results = []
    with Stopper() as pause:
        for planned in chosen:
            say(f"training again: {planned.path}")
            watcher = progress(planned.run.recipe.epochs, planned.path)
            result = rerun(workspace, planned, pick_device(device), pause, [watcher])
            same = "equal, bit for bit" if not result.differs else f"{result.differs} differ"
            where = "" if result.same_environment else " (in another environment)"
            say(f"{planned.path}: {same}{where}")
            results.append(vars(result))
    return results


def clean(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    out: Out = None,
) -> None:
    """Remove runs that are stale (no longer planned), failed or damaged, after saying which.

    What ended processes left behind, and nobody owns, goes without asking.
    """

    from kdgap.cli.printing import answer, say
    from kdgap.cli.tidying import tidy
    from kdgap.errors import BadInputError
    from kdgap.store.progress import removable

    directory = _directory(study, out)
    directory.plan()  # nothing is tidied in a folder that is no study
    tidied = tidy(directory)
    removal = removable(directory)
    doomed = removal.doomed
    if removal.tested:
        say(f"kept: {removal.tested} tested runs, which may still count: selection is not over")
    if not doomed:
        answer("no runs to remove" if tidied else "nothing to remove")
        _refuse_unreadable(removal.unreadable)
        return
    for path, why in doomed.items():
        answer(f"{path}  {why}", wrap=False)
    if not yes:
        if not sys.stdin.isatty():
            raise BadInputError(f"{len(doomed)} directories would be removed; say --yes to do it")
        typer.confirm(f"Remove these {len(doomed)} directories?", abort=True)
    removed = 0
    planned = {str(directory.path / entry["path"]) for entry in directory.plan()["runs"]}
    for path, why in doomed.items():
        run = directory.run(str(Path(path).relative_to(directory.path)))
        if link := run.link():
            remove(link)  # the link alone: what it leads to is not ours
            removed += 1
            continue
        if not run.path.exists():  # its slot was a link, which is gone
            continue
        lock = run.try_lock()
        if lock is None:
            say(f"kept: {path} is being trained")
            continue
        with lock:
            # Somebody may have trained or planned it since the list was made.
            if path in planned if why == "stale" else _is_whole(directory, run):
                say(f"kept: {path} has changed meanwhile")
                continue
            remove_at_once(run.path)
            removed += 1
    answer(f"{removed} removed")
    _refuse_unreadable(removal.unreadable)


def _is_whole(directory: "StudyDirectory", run: "RunDirectory") -> bool:
    from kdgap.errors import KdgapError

    try:
        directory.record(str(run.path.relative_to(directory.path)), hash_weights=True)
    except KdgapError:
        return False
    return True


def _refuse_unreadable(remarks: list[str]) -> None:
    from kdgap.errors import UnreadableError

    if remarks:
        more = f" (and {len(remarks) - 1} more)" if len(remarks) > 1 else ""
        raise UnreadableError(f"{remarks[0]}{more}; kept, for it may be whole: look at the disk")
