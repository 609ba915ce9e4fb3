"""The reference study's commands, flag for flag: `train.py`, `eval.py`, `collect_results.py`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kdgap.cli.train import train_flat

EVAL_EXAMPLE = (
    "Example: python tools/eval.py --student-arch resnet18 --student-weights STUDENT.safetensors"
    " --teacher-arch resnet50 --teacher-weights checkpoints/teacher_r50.safetensors"
)

train_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
eval_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
collect_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@train_app.command(epilog="Example: python tools/train.py --config configs/r50_to_r34_feature.yaml")
def train(
    config: Annotated[Path | None, typer.Option(help="A flat YAML file.")] = None,
    model: Annotated[str | None, typer.Option(help="Student (or teacher, or baseline).")] = None,
    teacher: Annotated[str | None, typer.Option(help="The teacher's architecture.")] = None,
    stem: Annotated[Literal["cifar", "imagenet"] | None, typer.Option(help="First layers.")] = None,
    kd_type: Annotated[
        Literal["logit", "feature", "none"] | None, typer.Option(help="Distillation method.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Weight of the distillation loss.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Logit-KD's T.")] = None,
    feat_beta: Annotated[float | None, typer.Option(help="Feature-KD's cosine weight.")] = None,
    no_proj_clip: Annotated[
        bool,
        typer.Option("--no-proj-clip", help="Clip the student alone (the published bug)."),
    ] = False,
    feat_norm: Annotated[
        Literal["none", "teacher_std"] | None, typer.Option(help="Feature-KD's scale.")
    ] = None,
    teacher_weights: Annotated[str | None, typer.Option(help="A .safetensors file.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="First learning rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 penalty.")] = None,
    momentum: Annotated[float | None, typer.Option(help="SGD's momentum.")] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder that holds CIFAR-10.")] = None,
    val_size: Annotated[int | None, typer.Option(help="Validation images.")] = None,
    output_dir: Annotated[str | None, typer.Option(help="The run directory.")] = None,
    num_workers: Annotated[int | None, typer.Option(help="Accepted; changes nothing.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    seed: Annotated[int | None, typer.Option(help="The run's seed.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Ours: cap the images of each split; marks a smoke run.")
    ] = None,
) -> None:
    """Train one run as the reference study does; a flag replaces the same key of the file."""
    flags = {**locals()}
    from kdgap import yamlio

    document = flags.pop("config")
    # A flag that is absent leaves the file's value alone, and so does an absent --no-proj-clip.
    given = {key: value for key, value in flags.items() if value is not None and value is not False}
    # The reference fetches missing data by itself, and so do its commands here.
    train_flat(None if document is None else yamlio.load(document), given, download=True)


@eval_app.command(epilog=EVAL_EXAMPLE)
def evaluate(
    student_arch: Annotated[str, typer.Option(help="The student's architecture.")],
    student_weights: Annotated[Path, typer.Option(help="A .safetensors file.")],
    teacher_arch: Annotated[str, typer.Option(help="The teacher's architecture.")],
    teacher_weights: Annotated[Path, typer.Option(help="A .safetensors file.")],
    data_root: Annotated[Path, typer.Option(help="Folder that holds the data.")] = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Write fidelity.json to this file.")] = None,
) -> None:
    """Measure a student's accuracy and fidelity to its teacher on the test images."""
    from kdgap.cli.printing import print_json
    from kdgap.files import json_text
    from kdgap.running.evaluation import evaluate_weights
    from kdgap.running.measuring import OnImages
    from kdgap.store.record import export_bytes

    on = OnImages(data_root)
    scored = evaluate_weights(
        student_weights, teacher_weights, "test", on, device, student_arch, teacher_arch
    )
    fidelity = {
        "student_arch": student_arch,
        "student_weights": str(student_weights),
        "teacher_arch": teacher_arch,
        "student_test_acc": scored["accuracy"],
        "teacher_test_acc": scored["teacher_accuracy"],
        **{
            key: scored[key] for key in ("top1_agreement", "kl_t1", "kl_t4", "per_class_acc", "ece")
        },
        "student_weight_hash": scored["weight_hash"],
        "teacher_weight_hash": scored["teacher_weight_hash"],
    }
    if out is not None:
        export_bytes(out, (json_text(fidelity) + "\n").encode())
    print_json(fidelity)


@collect_app.command(
    epilog="Example: python tools/collect_results.py runs/select --write-best best_configs.json"
)
def collect_results(
    folder: Annotated[Path, typer.Argument(help="A folder with results.json files below it.")],
    write_best: Annotated[
        Path | None, typer.Option(help="Write the best configurations to this file.")
    ] = None,
    check_best: Annotated[
        Path | None, typer.Option(help="Refuse a file that names other best configurations.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write one line a run to this file.")] = None,
) -> None:
    """Collect results: mean and standard deviation over seeds, the best by validation."""
    from kdgap.cli.printing import print_table, say
    from kdgap.errors import BadInputError, StoreDamagedError
    from kdgap.files import json_text, read_json
    from kdgap.report.collect import as_csv, best_configurations, collect
    from kdgap.store.record import export_bytes

    groups, remarks = collect(folder)
    best = best_configurations(groups) if write_best or check_best else {}
    if check_best is not None:
        try:
            given = read_json(check_best)
        except StoreDamagedError as error:
            raise BadInputError(str(error)) from None
        if given != best:
            names = given.keys() ^ best.keys() if isinstance(given, dict) else []
            odd = next((n for n in best if isinstance(given, dict) and given.get(n) != best[n]), "")
            raise BadInputError(
                f"{check_best}: not the best configurations of {folder}"
                f" ({min(names) if names else odd or 'malformed'}); write it with --write-best"
            )
    for remark in remarks:
        say(f"note: {remark}")
    if write_best is not None:
        if not best:
            raise BadInputError(f"{folder}: holds no distilled student to choose from")
        export_bytes(write_best, (json_text(best) + "\n").encode())
        say(f"best configurations: {write_best}")
    if csv is not None:
        export_bytes(csv, as_csv(groups).encode())
        say(f"runs: {csv}")
    columns = ["runs", "n", "validation, best", "test, best", "test, last"]
    metrics = ("best_val_acc", "test_acc_best", "test_acc_final")
    rows = [[g.title, str(len(g.runs)), *(_mean(g.values(m)) for m in metrics)] for g in groups]
    print_table("", columns, rows, "accuracy in %, mean ± sample standard deviation over seeds")


def _mean(values: list[float]) -> str | None:
    from kdgap.numbers import spread
    from kdgap.stats.contrast import mean_and_std

    return spread(*mean_and_std([value * 100 for value in values])) if values else None
