"""`kdgap data`: what is found where, and what it looks like."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kdgap.data.dataset import Dataset, DatasetEntry

EXAMPLES = (
    "Examples: kdgap data digits --sheet digits.png\n"
    "kdgap data cifar10 --data-root data --download\n"
    "kdgap data imagefolder --data-root flowers --image-size 64\n"
    "kdgap data manifest --data-root photos/labels.csv --skip-broken"
)


def data(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="digits, cifar10, cifar100, imagefolder, manifest or webdataset."
        ),
    ] = "digits",
    data_root: Annotated[
        Path, typer.Option(help="Folder that holds the data, or a file: a manifest, or a tar.")
    ] = Path("data"),
    image_size: Annotated[
        int | None, typer.Option(help="Side to resize your own images to.", min=4, max=1024)
    ] = None,
    test_share: Annotated[
        float,
        typer.Option(
            help="Share to test on of images that come without a split.", min=0.001, max=0.999
        ),
    ] = 0.2,
    split_seed: Annotated[int, typer.Option(help="Seed that draws this split.", min=0)] = 1234,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that cannot be used.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing data from its official site.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet (PNG) to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a data set: where it was found, fingerprint, class counts, a contact sheet."""
    from kdgap.cli.printing import print_json, print_table, say
    from kdgap.cli.progress import working
    from kdgap.data import (
        DATASETS,
        Request,
        apart,
        listing,
        load_dataset,
        pixels,
        smaller_val_size,
        tables,
        tars,
    )
    from kdgap.data.contact import contact_sheet
    from kdgap.store.record import export_bytes
    from kdgap.text import shown

    request = Request(data_root, image_size, download, test_share, split_seed, skip_broken)
    with working(f"reading {name}"):
        dataset = load_dataset(name, request)
    counts = {
        part: images.labels.bincount(minlength=len(dataset.classes)).tolist()
        for part, images in (("train", dataset.train), ("test", dataset.test))
    }
    entry = DATASETS[name]
    about: dict[str, Any] = {
        "name": name,
        "summary": entry.summary,
        "citation": entry.citation,
        "source": dataset.source,
        "data_root": shown(data_root),
        "fingerprint": dataset.fingerprint,
        "image": [dataset.channels, *dataset.image_size],
        "train": len(dataset.train),
        "test": len(dataset.test),
        "val_size": entry.val_size,
        "augmentation": entry.augmentation,
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        **_duplicates(dataset, entry),
        "classes": list(dataset.classes),
        "class_counts": counts,
    }
    if dataset.split is not None:
        about["split"] = vars(dataset.split)
    left_out = dataset.left_out
    if left_out is not None:
        about["left_out"] = [left.record(len(left.names)) for left in left_out]
    if sheet is not None:
        export_bytes(sheet, contact_sheet(dataset))
        say(f"contact sheet: {sheet}")
    smaller = smaller_val_size(entry.val_size, len(dataset.train))
    if smaller:
        say(
            f"note: {entry.val_size} validation images, as is usual, leave no training image of"
            f" {len(dataset.train)}; give val_size: {smaller} beside the data, or to evaluate"
            f" --val-size {smaller}"
        )
    if as_json:
        print_json(about)
        return
    hidden = ("classes", "class_counts", "name", "left_out", "split")
    facts = {key: v for key, v in about.items() if key not in hidden and v is not None}
    rows = [(key.replace("_", " "), _text(v)) for key, v in facts.items()]
    if (split := dataset.split) is not None:
        rows.append(("set apart for testing", f"{split.test_share:g} of each class"))
        rows.append(("near-duplicates", f"{split.alike:,} in {split.groups:,} groups"))
    if left_out is not None:
        rows.append(("left out", _text(sum(len(left.names) for left in left_out))))
    print_table(name, ["", "value"], rows)
    print_table(
        "Images by class",
        ["class", "train", "test"],
        list(
            zip(dataset.classes, map(str, counts["train"]), map(str, counts["test"]), strict=True)
        ),
    )
    if left_out:
        print_table(
            "Left out",
            ["reason", "count", "first names"],
            [(x.reason, _text(len(x.names)), "\n".join(x.names[:5])) for x in left_out],
        )
    if left_out is not None:
        files = {"manifest": tables, "webdataset": tars}.get(name, listing)
        print_table("Rules", ["files"], [[(files.__doc__ or "").strip()]])
        if dataset.split is not None:
            print_table("", ["split"], [[(apart.__doc__ or "").strip()]])
        print_table("", ["pixels"], [[(pixels.__doc__ or "").strip()]])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{v:g}" for v in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _duplicates(dataset: "Dataset", entry: "DatasetEntry") -> dict[str, int | None]:
    """Return how many images stand in a data set more than once, pixel for pixel."""
    import numpy as np

    from kdgap.data import split_dataset
    from kdgap.spec.run import DataSpec

    train, test = dataset.image_numbers
    val: int | None = None  # no such split of so few images
    if entry.val_size < len(train):
        split_seed = DataSpec.model_fields["split_seed"].default
        val = split_dataset(dataset, entry.val_size, split_seed, None).copies.val
    return {
        "duplicates_across_parts": int(np.isin(test, train).sum()),
        "duplicates_in_training": len(train) - len(np.unique(train)),
        "duplicates_in_validation": val,
    }
