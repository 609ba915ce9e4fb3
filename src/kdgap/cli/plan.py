"""`kdgap plan`: what a study would do, cost and be able to show.

Nothing of the study is trained or written. What its steps take is timed where that is not known, on
images of noise, and kept in the cache.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdgap.cli.given import DataRoot, GivenTeachers
from kdgap.cli.study import Out, Sets, StudyArgument, known_kinds, refuse_early

if TYPE_CHECKING:
    from kdgap.planning.plan import Plan
    from kdgap.study.workspace import Workspace

EXAMPLES = (
    "Examples: kdgap plan configs/studies/reference.yaml\n"
    "kdgap plan configs/studies/digits.yaml --runs --set finals.seeds=[0,1,2]\n"
    "kdgap plan configs/studies/imagenet_r34_r18.yaml --device a100"
)

COLUMNS = ("role", "what", "runs", "done", "ids")
"""Of the table of runs; the ids where they fit, for `--runs` lists them."""


def plan(
    study: StudyArgument,
    runs: Annotated[bool, typer.Option("--runs", help="List every run with its id.")] = False,
    assignments: Sets = None,
    out: Out = None,
    data_root: DataRoot = None,
    teacher_weights: GivenTeachers = None,
    device: Annotated[
        str, typer.Option(help="The device to estimate for: one of this machine, or a100.")
    ] = "auto",
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Estimate for so many processes, as of kdgap run.")
    ] = 1,
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="Time all kinds of steps on this machine now, about a minute; or none. Otherwise"
            " those that were never timed here, a few seconds.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a study's runs, cohorts, cost, and what its seeds can and cannot show."""
    from kdgap.cli.printing import print_json, say

    overrides = refuse_early(study, assignments)
    from kdgap.engine.device import pick_device
    from kdgap.planning.rates import MACHINES
    from kdgap.running.places import Places
    from kdgap.study.clock import process_age
    from kdgap.study.forecast import forecast
    from kdgap.study.workspace import open_study, plan_data

    places = Places(data_root, teacher_weights or ())
    workspace = open_study(study, overrides, out, places)
    started = process_age()
    known_kinds(workspace.study.claims, lambda _: str(study))
    planned, selected = workspace.plan()
    data = plan_data(workspace, planned, selected)
    states = {
        run.id: workspace.directory.status(run.path, verify=False).state
        for run in planned.runs.values()
    }
    stale = workspace.directory.run_paths(besides=_paths(planned))
    machine = device if device in MACHINES else pick_device(device)
    done = set(_done(states))
    remark = (lambda _: None) if as_json else say
    ahead = forecast(
        workspace,
        planned,
        machine,
        done,
        workers=workers,
        measure=measure,
        say=remark,
        started=started,
    )
    if as_json:
        print_json(data | {"states": states, "stale": stale, "forecast": ahead})
        return
    _print(workspace, planned, data, states, stale)
    _print_models(data)
    _print_forecast(ahead)
    if runs:
        _print_runs(planned, states)


def _paths(planned: "Plan") -> set[str]:
    return {run.path for run in planned.runs.values()}


def _done(states: Mapping[str, str]) -> list[str]:
    return [identifier for identifier, state in states.items() if state == "done"]


def _print(
    workspace: "Workspace",
    planned: "Plan",
    data: Mapping[str, Any],
    states: Mapping[str, str],
    stale: list[str],
) -> None:
    from kdgap.cli.printing import answer, fitting, print_table, say, width
    from kdgap.notice import by_severity
    from kdgap.spec.slot import slots_text
    from kdgap.store.notices import of_plan

    study = workspace.study
    for notice in by_severity(of_plan(data)):
        say(f"note: {notice.text}")
    answer(f"{study.name}: {study.description}")
    rows: dict[tuple[str, str], list[Any]] = {}
    for run in planned.runs.values():
        chosen = run.slots[0].role == "selection"
        name = slots_text([slot.whole for slot in run.slots] if chosen else run.slots)
        row = rows.setdefault((run.roles[0], name), [0, 0, []])
        row[0] += 1
        row[1] += states[run.id] == "done"
        row[2].append(run.id[:8])
    lines: list[dict[str, str | None]] = []
    for (role, name), (count, done, ids) in rows.items():
        shown = ids[0] + (f" … {ids[-1]}" if count > 1 else "")
        lines.append(dict(zip(COLUMNS, (role, name, str(count), str(done), shown), strict=True)))
    for slot, count in planned.open_slots.items():
        cells = (slot.role, slot.text, str(count), "0", "after selection")
        lines.append(dict(zip(COLUMNS, cells, strict=True)))
    done = sum(state == "done" for state in states.values())
    others = [s for s in ("failed", "running", "interrupted", "damaged") if s in states.values()]
    rest = "".join(f", {list(states.values()).count(s)} {s}" for s in others)
    total = len(planned.runs) + data["open_runs"]
    caption = (
        f"{total} runs in {data['cohorts']} cohorts, {done} done{rest},"
        f" {len(stale)} stale in {workspace.directory.path}"
    )
    titles = {name: name for name in COLUMNS}
    head, texts = fitting((COLUMNS, COLUMNS[:-1]), titles, lines, width())
    print_table("", head, texts, caption)


def _print_models(data: Mapping[str, Any]) -> None:
    from kdgap.cli.printing import print_table
    from kdgap.numbers import compact

    rows = []
    for name, model in data["models"].items():
        known = "parameters" in model
        rows.append(
            [
                name,
                _network(model),
                f"{model['parameters']:,}" if known else None,
                compact(model["flops"]) if known else None,
            ]
        )
    print_table("", ["model", "network", "parameters", "FLOPs an image"], rows)


def _network(model: Mapping[str, Any]) -> str:
    from kdgap.text import settings_text, sized

    more = settings_text(model.get("arguments", {}))
    more = f"shortcut {model['shortcut']}" if "shortcut" in model else more
    return sized(model["name"], model["width"]) + (f" ({more})" if more else "")


def _print_forecast(ahead: Mapping[str, Any]) -> None:
    from kdgap.cli.printing import answer, say
    from kdgap.numbers import gib

    if ahead["seconds"] is None:
        answer("Time and disk: known once the data was loaded for the first time.")
    else:
        for line in _time_lines(ahead):
            answer(line)
        decoded = ""
        if ahead["data_bytes"] is not None:
            decoded = f"; {gib(ahead['data_bytes'])} of decoded images in the cache"
        answer(f"Disk: about {gib(ahead['disk_bytes'])}, states of one cohort included{decoded}.")
    for notice in ahead["notices"]:
        say(f"note: {notice['text']}")
    for line in ahead["floors_text"]:
        answer(line)


def _time_lines(ahead: Mapping[str, Any]) -> list[str]:
    from kdgap.numbers import counted, duration

    seconds, low, high = (ahead[key] for key in ("seconds", "seconds_low", "seconds_high"))
    if seconds == 0:
        return ["Time left: none, every run is done."]
    hours = f" ({seconds / 3600:,.0f} hours)" if seconds >= 86400 else ""
    between = "" if low is None else f", between {duration(low)} and {duration(high)},"
    where = f"on {ahead['device']} with {counted(ahead['workers'], 'worker')}"
    alone = f"{duration(ahead['seconds_alone'])} if each run had its own teacher pass"
    return [
        f"Time left: about {duration(seconds)}{hours}{between} {where} ({alone}).",
        f"  It comes from {ahead['time_source']}.",
    ]


def _print_runs(planned: "Plan", states: Mapping[str, str]) -> None:
    from kdgap.cli.printing import print_table
    from kdgap.spec.slot import slots_text

    rows = [
        [
            run.id[:12],
            ", ".join(run.roles),
            slots_text(run.slots),
            str(run.run.seed),
            states[run.id],
        ]
        for run in planned.runs.values()
    ]
    print_table("", ["id", "role", "what", "seed", "state"], rows)
