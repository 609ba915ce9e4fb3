"""`kdgap convert`: a pickled checkpoint becomes safetensors with a card, without trusting it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

EXAMPLES = (
    "Example: kdgap convert checkpoints/teacher_r50.pth --model resnet50, then "
    "kdgap evaluate checkpoints/teacher_r50.safetensors --write-card"
)


def convert(
    source: Annotated[Path, typer.Argument(help="A .pth checkpoint or a bare .safetensors.")],
    model: Annotated[str, typer.Option(help="Its architecture, such as resnet50.")],
    stem: Annotated[Literal["cifar", "imagenet"], typer.Option(help="Its stem.")] = "cifar",
    width: Annotated[float, typer.Option(help="Its width factor (CIFAR ResNets).")] = 1.0,
    data: Annotated[str, typer.Option(help="The data it was trained on.")] = "cifar10",
    data_root: Annotated[
        Path | None, typer.Option(help="Needed for data without a published normalisation.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Target; default: the source with .safetensors.")
    ] = None,
) -> None:
    """Convert a checkpoint; its pickle is read in a child process, as tensors only."""
    from kdgap.cli.printing import say
    from kdgap.spec import ModelSpec
    from kdgap.spec.validation import build
    from kdgap.study.conversion import convert_checkpoint

    fields = {"name": model, "stem": stem, "width": width}
    spec = build(ModelSpec, fields, lambda _: "command line", fields, {"name": "model"})
    target = convert_checkpoint(source, spec, data, data_root, out)
    print(target)
    say(f"next: kdgap evaluate {target} --write-card measures its accuracy, which makes it usable")
