"""`kdgap convert`: a pickled checkpoint becomes safetensors with a card, without trusting it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdgap.errors import BadInputError

if TYPE_CHECKING:
    from kdgap.spec.model import ModelSpec

EXAMPLES = (
    "Examples: kdgap convert checkpoints/teacher_r50.pth\n"
    "kdgap evaluate checkpoints/teacher_r50.safetensors --write-card\n"
    "kdgap convert ckpt_epoch_240.pth --model resnet56 --shortcut B --trained-on train+val\n"
    "kdgap convert vit.safetensors --model timm:vit_tiny_patch16_224 --argument img_size=32"
    " --argument patch_size=4 --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5\n"
    "kdgap convert pets.pth --model resnet18 --data imagefolder --data-root pets --image-size 64"
    " --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
)


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .pth checkpoint or a bare .safetensors.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Its architecture: one of ours, timm:NAME, torchvision:NAME or"
            " package.module:factory; default: the one that fits, of ours or else of torchvision or"
            " timm."
        ),
    ] = None,
    stem: Annotated[Literal["cifar", "imagenet"], typer.Option(help="Its stem.")] = "cifar",
    width: Annotated[float, typer.Option(help="Its width factor (CIFAR ResNets).")] = 1.0,
    shortcut: Annotated[
        Literal["A", "B"],
        typer.Option(help="Its shortcuts (CIFAR ResNets): A without parameters, B projects."),
    ] = "A",
    argument: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="What a network of timm, torchvision or your own is made with; repeatable.",
        ),
    ] = None,
    data: Annotated[str, typer.Option(help="The data it was trained on.")] = "cifar10",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder that holds the data; needed for what is not given.")
    ] = None,
    trained_on: Annotated[
        Literal["train", "train+val"],
        typer.Option(help="train+val: on all training images, none set apart for validation."),
    ] = "train",
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels that its images were resized to.")
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="Side in pixels that it sees, where the data has another.")
    ] = None,
    interpolation: Annotated[
        Literal["bilinear", "bicubic", "nearest"],
        typer.Option(help="How images are resized for it."),
    ] = "bilinear",
    mean: Annotated[
        str | None, typer.Option(help="Its normalisation, for pixels in [0, 1]: 0.5,0.5,0.5.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Its deviation, a number a channel.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class names in label order: cat,dog or a file, one a line.")
    ] = None,
    take: Annotated[
        str | None, typer.Option(help="Which set of tensors, where the file holds several.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Target; default: the source with .safetensors.")
    ] = None,
) -> None:
    """Convert a checkpoint; its pickle is read as data, and nothing of it is executed."""
    from kdgap.cli.printing import answer, say
    from kdgap.cli.progress import working
    from kdgap.running.conversion import convert_checkpoint
    from kdgap.running.trained_on import TrainedOn
    from kdgap.spec.model import InputSpec
    from kdgap.spec.validation import build

    spec = _architecture(model, stem, width, shortcut, argument or [])
    seen: dict[str, Any] = {"size": input_size, "interpolation": interpolation}
    own_input = None
    if input_size is not None or interpolation != "bilinear":
        spelling = {"size": "--input-size", "interpolation": "--interpolation"}
        own_input = build(InputSpec, seen, lambda _: "command line", seen, spelling)
    names = None if classes is None else _names(classes)
    moments = (_numbers("--mean", mean), _numbers("--std", std))
    on = TrainedOn(data, data_root, image_size, names, *moments, images=trained_on)
    with working(f"converting {source}"):
        converted = convert_checkpoint(source, spec, on, out, take, own_input)
    for remark in converted.remarks:
        say(remark)
    answer(str(converted.path), wrap=False)
    say(f"next: {converted.measuring} measures its accuracy, which makes it usable")


def _architecture(
    model: str | None, stem: str, width: float, shortcut: str, arguments: list[str]
) -> "ModelSpec | None":
    from kdgap.spec.model import ModelSpec
    from kdgap.spec.validation import build
    from kdgap.yamlio import parse_assignments

    given = parse_assignments(arguments, option="--argument")
    if model is None:
        usual: tuple[object, ...] = ("cifar", 1.0, "A", {})
        for option, value, default in zip(
            ("--stem", "--width", "--shortcut", "--argument"),
            (stem, width, shortcut, given),
            usual,
            strict=True,
        ):
            if value != default:
                raise BadInputError(
                    f"{option} goes with --model; without it, the one network that fits is found,"
                    " with its stem, width, shortcut and arguments"
                )
        return None
    fields = {"name": model, "stem": stem, "width": width, "shortcut": shortcut}
    fields |= {"arguments": given}
    return build(ModelSpec, fields, lambda _: "command line", fields, {"name": "model"})


def _numbers(option: str, given: str | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    try:
        return tuple(float(number) for number in given.split(","))
    except ValueError:
        raise BadInputError(
            f"{option} {given}: expected a number a colour channel, such as 0.5,0.5,0.5"
        ) from None


def _exists(given: str) -> bool:
    try:
        return Path(given).exists()
    except OSError:  # a list of a hundred names is longer than a file's name may be
        return False


def _names(given: str) -> tuple[str, ...]:
    """Return class names from a file, one a line, or from the list itself."""
    from kdgap.files import read_text
    from kdgap.paths import user_path

    if "," in given and not _exists(given):
        return tuple(name.strip() for name in given.split(","))
    path = user_path(given)
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise BadInputError(
            f"--classes {given}: {reason}; give a file with one name a line, or names as a,b,c"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())
