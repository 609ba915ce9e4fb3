"""`kdgap evaluate`: a finished run's test record, or any weights file on validation images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

EXAMPLES = (
    "Examples: kdgap evaluate runs/digits/logit\n"
    "kdgap evaluate student.safetensors --teacher teacher.safetensors --split test\n"
    "kdgap evaluate converted.safetensors --write-card --data-root data\n"
    "kdgap evaluate converted.safetensors --write-card --data imagefolder --data-root pets"
    " --image-size 64 --val-size 200"
)


def evaluate(
    target: Annotated[
        Path, typer.Argument(metavar="RUN|WEIGHTS", help="A run directory or a weights file.")
    ],
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher-weights",
            "--teacher",
            help="Weights to compare with (agreement, KL); of a run: where its teacher's are now.",
        ),
    ] = None,
    split: Annotated[
        Literal["val", "test"], typer.Option(help="Images to evaluate a weights file on.")
    ] = "val",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder that holds the data; default: data, or the run's.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Data to evaluate on, with classes of the same names; default: its own."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels that the data's images have.")
    ] = None,
    val_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Validation images; default: the card's, or the data set's, or what fits.",
        ),
    ] = None,
    split_seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed that chooses them; default: the card's, or 1234."),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            help="Share to test on of images that come without a split.", min=0.001, max=0.999
        ),
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that cannot be used.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Note the validation accuracy in the file's card.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate a run (opens its test door, once) or a weights file."""
    from kdgap.cli.printing import answer, print_json, say
    from kdgap.cli.progress import working
    from kdgap.cli.show import print_records
    from kdgap.errors import BadInputError
    from kdgap.running.evaluation import evaluate_weights, finish_run, write_measured_card
    from kdgap.running.measuring import OnImages

    if target.is_dir():
        others = {data, image_size, val_size, split_seed, test_share} != {None}
        if write_card or split != "val" or others or skip_broken:
            raise BadInputError(
                f"{target}: a run's own record knows its images; --split, --data, --image-size,"
                " --val-size, --split-seed, --test-share, --skip-broken and --write-card go with a"
                " weights file"
            )
        with working(f"evaluating {target}"):
            record = finish_run(target, data_root, device, say, teacher)
        if as_json:
            print_json(record.test)
        else:
            print_records([record])
        return
    images = (data, image_size, val_size, split_seed, test_share, skip_broken)
    on = OnImages(data_root or Path("data"), *images)
    if write_card:
        with working(f"evaluating {target}"):
            card = write_measured_card(target, on, device, say)
        say(f"card written: {target}")
        if as_json:
            print_json(card.model_dump(mode="json"))
        elif card.accuracy is not None:
            answer(f"validation accuracy {card.accuracy.value:.2%}")
        return
    scored = evaluate_weights(target, teacher, split, on, device)
    if as_json:
        print_json(scored)
    else:
        print_scores(scored)


def print_scores(scored: Mapping[str, Any]) -> None:
    """Print what `evaluate_weights` returned."""
    from kdgap.cli.printing import print_table, say
    from kdgap.numbers import fixed, percent

    for flag in scored["flags"]:
        say(f"note: {flag}")
    rows = [
        ("weights", scored["weights"]),
        ("images", f"{scored['images']:,} ({scored['split']})"),
        ("accuracy", percent(scored["accuracy"])),
        ("NLL", fixed(scored["nll"])),
        ("ECE", percent(scored["ece"])),
    ]
    if "teacher_accuracy" in scored:
        rows += [
            ("teacher", scored["teacher"]),
            ("teacher's accuracy", percent(scored["teacher_accuracy"])),
            ("top-1 agreement", percent(scored["top1_agreement"])),
            ("KL(teacher || student), T = 1", fixed(scored["kl_t1"])),
            ("KL(teacher || student), T = 4", fixed(scored["kl_t4"])),
        ]
    rows += [(f"class {name}", percent(a)) for name, a in scored["per_class_acc"].items()]
    print_table("", ["", "result"], rows)
