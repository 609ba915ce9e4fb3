"""All commands, in groups; groups and commands in the order in which people need them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from kdgap import __version__
from kdgap.cli import (
    bench,
    convert,
    data,
    distill,
    evaluate,
    explore,
    export,
    judging,
    listings,
    models,
    plan,
    predict,
    rank,
    show,
    status,
    study,
    train,
)

COMMANDS: Mapping[str, Sequence[tuple[str, Callable[..., None], str]]] = {
    "Study": (
        ("distill", distill.distill, distill.EXAMPLES),
        ("plan", plan.plan, plan.EXAMPLES),
        ("run", study.run, study.EXAMPLES),
        ("status", status.status, status.STATUS_EXAMPLES),
        ("verify", status.verify, status.VERIFY_EXAMPLES),
        ("clean", status.clean, status.CLEAN_EXAMPLES),
    ),
    "Judge results": (
        ("import", judging.import_, judging.IMPORT_EXAMPLES),
        ("show", show.show, show.EXAMPLES),
        ("analyze", judging.analyze, judging.ANALYZE_EXAMPLES),
        ("rank", rank.rank, rank.EXAMPLES),
        ("report", judging.report, judging.REPORT_EXAMPLES),
        ("explore", explore.explore, explore.EXAMPLES),
    ),
    "Single run": (
        ("train", train.train, train.EXAMPLES),
        ("evaluate", evaluate.evaluate, evaluate.EXAMPLES),
        ("predict", predict.predict, predict.EXAMPLES),
        ("export", export.export, export.EXAMPLES),
    ),
    "Data and models": (
        ("data", data.data, data.EXAMPLES),
        ("models", models.models, models.EXAMPLES),
        ("convert", convert.convert, convert.EXAMPLES),
    ),
    "Reference": (
        ("methods", listings.methods, listings.METHODS_EXAMPLES),
        ("presets", listings.presets, listings.PRESETS_EXAMPLES),
        ("env", listings.env, listings.ENV_EXAMPLES),
        ("bench", bench.bench, bench.EXAMPLES),
    ),
}
"""Group → name, function and examples of each command."""


def _version(asked: bool) -> None:
    if asked:
        from kdgap.cli.printing import answer

        answer(f"kdgap {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="kdgap",
    help="Train students with and without a teacher, and say how sure the difference is.",
    epilog="First steps: kdgap plan configs/studies/digits.yaml\n"
    "kdgap run configs/studies/digits.yaml\nkdgap models",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _whole(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="The version, and no more."
        ),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


for group, commands in COMMANDS.items():
    for name, function, examples in commands:
        app.command(name, rich_help_panel=group, epilog=examples)(function)
app.command("worker", hidden=True, epilog="Example: kdgap worker runs/digits")(study.worker)
