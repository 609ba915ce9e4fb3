"""`kdgap predict`: the most likely classes of images, by a run or any exported file."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "Examples: kdgap predict student.onnx cat.jpg photographs\n"
    "kdgap predict runs/digits/logit digit.png --top 3 --json"
)


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A run, a weights file with a card, or what `kdgap export` wrote of one.",
        ),
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", help="Image files and folders of them.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes of each image.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Classify images: the most likely classes and their probabilities."""
    from kdgap.cli.printing import print_json, print_table, say
    from kdgap.numbers import counted
    from kdgap.shipping.formats import kind_of
    from kdgap.text import shown

    kind_of(model)  # before torch is loaded
    from kdgap.shipping.predicting import predict_images

    predictions = predict_images(model, images, top, device)
    if predictions.ignored:
        say(f"left out: {counted(predictions.ignored, 'file')} in the folders that are no images")
    if as_json:
        rows = [
            {
                "image": shown(path),
                "top": [{"class": g.name, "probability": g.probability} for g in guesses],
            }
            for path, guesses in predictions.images
        ]
        print_json({"model": shown(model), "images": rows, "ignored": predictions.ignored})
        return
    table = [
        (
            shown(path),
            "\n".join(shown(guess.name) for guess in guesses),
            "\n".join(f"{100 * guess.probability:.1f} %" for guess in guesses),
        )
        for path, guesses in predictions.images
    ]
    print_table("", ["image", "class", "probability"], table)
