"""`kdgap train`: one run from a flat configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdgap.cli.given import DataRoot

if TYPE_CHECKING:
    from kdgap import yamlio

EXAMPLES = (
    "Examples: kdgap train configs/digits_teacher.yaml\n"
    "kdgap train configs/r50_to_r18_logit.yaml --seed 1 --set alpha=0.7 --set precision=bf16\n"
    "kdgap train configs/digits_teacher.yaml --devices 2 --set threads=1"
)


def train(
    config: Annotated[
        Path, typer.Argument(help="A flat YAML file; see configs/ for examples.", metavar="CONFIG")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Override the seed.")] = None,
    data_root: DataRoot = None,
    teacher_weights: Annotated[
        Path | None, typer.Option(help="Where the teacher's file is now.")
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Share every batch among so many devices.")
    ] = None,
    began_with: Annotated[
        int | None,
        typer.Option(min=1, help="Go on with a run begun on so many devices; it is recorded."),
    ] = None,
    no_test: Annotated[
        bool, typer.Option("--no-test", help="Leave the test images unseen.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing data from its official site.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json.")] = False,
) -> None:
    """Train a teacher, a baseline or a student, evaluate it, and keep a verified record."""
    # YAML, pydantic, and torch within `train_flat` take time to import; --help should not.
    from kdgap import yamlio
    from kdgap.yamlio import parse_assignments

    document = yamlio.load(config)
    overrides = parse_assignments(assignments or [])
    if seed is not None:
        overrides["seed"] = seed
    if data_root is not None:
        overrides["data_root"] = str(data_root)
    if teacher_weights is not None:
        overrides["teacher_weights"] = str(teacher_weights)
    if devices is not None:
        overrides["devices"] = devices
    train_flat(
        document,
        overrides,
        no_test=no_test,
        download=download,
        as_json=as_json,
        began_with=began_with,
    )


def train_flat(
    document: "yamlio.Document | None",
    overrides: Mapping[str, Any],
    *,
    no_test: bool = False,
    download: bool = False,
    as_json: bool = False,
    began_with: int | None = None,
) -> None:
    """Train one run and print its result table; the common way of every training command."""
    from kdgap.cli.printing import print_json, say
    from kdgap.cli.progress import progress
    from kdgap.cli.show import print_records
    from kdgap.methods import hyperparameter_names
    from kdgap.planning.early import check_flat
    from kdgap.spec.flat import read_flat
    from kdgap.spec.identity import slot_name

    config, places = read_flat(document, overrides, hyperparameter_names)
    check_flat(config, places)
    # With torch, which what is refused by now has not cost.
    from kdgap.planning.fit import clipped_weights
    from kdgap.running.config import resolve
    from kdgap.running.single import train_single

    run, weights = resolve(config, places, began_with)
    for key in run.place.dropped:
        say(f"note: {places(key)}: {key} does not apply to kd_type {run.method.name}; left out")
    if weighed := clipped_weights(run):
        say(f"note: {weighed}")
    label = f"{slot_name(run)} seed {run.seed}"
    record = train_single(
        run,
        weights,
        watchers=[progress(run.recipe.epochs, label)],
        open_test=not no_test,
        download=download,
        say=say,
    )
    if as_json:
        print_json(record.results)
    else:
        print_records([record])
