"""`kdgap models`: the networks there are, by family, by a part of the name, or one in full."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kdgap.models.described import Described
    from kdgap.models.entry import ModelEntry
    from kdgap.spec.model import ModelSpec

EXAMPLES = (
    "Examples: kdgap models\nkdgap models vit\nkdgap models resnet18 --set stem=imagenet"
    " --image-size 64\nkdgap models timm:vit_tiny_patch16_224 --arguments"
    " '{img_size: 32, patch_size: 4}' --classes 100"
)
_USUAL = (10, 3, 32)
"""Classes, channels and size for which costs are written down."""
_MOST = 40
"""Lines of a source that a search shows."""
_FIELDS = ("stem", "width", "shortcut")
"""What `--set` may say of one of our own networks, beside its arguments."""


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A network to show in full, or a part of a name."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An argument of the network, or stem, width or shortcut of ours; may be repeated.",
        ),
    ] = None,
    arguments: Annotated[
        str | None,
        typer.Option(metavar="MAPPING", help="Its arguments, such as '{img_size: 32}'."),
    ] = None,
    image_size: Annotated[int, typer.Option(help="Side of the images in pixels.", min=1)] = 32,
    classes: Annotated[int, typer.Option(help="Number of classes.", min=2)] = 10,
    channels: Annotated[int, typer.Option(help="Colour channels.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the networks, search those of all sources, or show one in full."""
    from kdgap.errors import BadInputError
    from kdgap.models.search import is_network

    asked = (classes, channels, image_size)
    if name is not None and is_network(name):
        _show(_spec(name, assignments or [], arguments), asked, as_json=as_json)
        return
    if assignments or arguments is not None:
        raise BadInputError(
            "--set and --arguments are for one network; give its whole name, which"
            " `kdgap models PART` finds"
        )
    if name is None:
        _list(asked, as_json=as_json)
    else:
        _search(name, as_json=as_json)


def _spec(name: str, assignments: list[str], arguments: str | None) -> "ModelSpec":
    """Return what the words of the command line describe.

    Raises:
        BadInputError: they describe nothing.
    """
    from kdgap import yamlio
    from kdgap.errors import BadInputError
    from kdgap.models.entry import MODELS
    from kdgap.spec.model import ModelSpec
    from kdgap.spec.validation import build

    fields: dict[str, Any] = {"name": name}
    given: Any = {} if arguments is None else yamlio.parse(arguments, "--arguments").value
    if not isinstance(given, dict):
        raise BadInputError("--arguments: expected a mapping, such as '{img_size: 32}'")
    for key, value in yamlio.parse_assignments(assignments).items():
        # Other people's networks have arguments of any name.
        (fields if name in MODELS and key in _FIELDS else given)[key] = value
    return build(ModelSpec, fields | {"arguments": given}, lambda key: key, ModelSpec.model_fields)


def _list(asked: tuple[int, int, int], *, as_json: bool) -> None:
    from kdgap.cli.printing import print_json, print_table
    from kdgap.models import MODELS

    classes, channels, size = asked
    rows = [
        {
            "name": name,
            "family": entry.family,
            "stem": stem,
            **_cost(name, entry, stem, asked),
            "width_factor": entry.base_channels is not None,
            "shortcuts": list(entry.shortcuts),
            "stages": list(entry.stages),
            "citation": entry.citation,
        }
        for name, entry in MODELS.items()
        for stem in entry.stems
    ]
    if as_json:
        print_json(rows)
        return
    families: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(row)
    print_table(
        f"Networks for {channels}x{size}x{size} images and {classes} classes",
        ["family", "networks", "parameters", "FLOPs"],
        [
            (
                family,
                ", ".join(dict.fromkeys(row["name"] for row in members)),
                _range([row["parameters"] for row in members]),
                _range([row["flops"] for row in members]),
            )
            for family, members in families.items()
        ],
        "One in full: kdgap models NAME. Of all sources: kdgap models PART, such as vit."
        " Other people's: torchvision:NAME; timm:NAME, with `pip install 'kdgap[timm]'`;"
        " package.module:factory, a function of your own. FLOPs of one forward pass, a multiply-add"
        " counted as two; – = the images are too small",
    )


def _cost(
    name: str, entry: "ModelEntry", stem: str, asked: tuple[int, int, int]
) -> dict[str, int | None]:
    known = entry.cifar10_cost.get(stem) if asked == _USUAL else None
    if known is None:
        from kdgap.errors import BadInputError
        from kdgap.models.build import model_cost
        from kdgap.spec.model import ModelSpec

        classes, channels, size = asked
        spec = ModelSpec.model_validate({"name": name, "stem": stem})
        try:
            known = model_cost(spec, classes, channels, (size, size))
        except BadInputError:  # images too small for it
            return {"parameters": None, "flops": None}
    return {"parameters": known[0], "flops": known[1]}


def _range(counts: list[int | None]) -> str | None:
    from kdgap.numbers import compact

    known = [count for count in counts if count is not None]
    if not known:
        return None
    low, high = compact(min(known)), compact(max(known))
    text = low if low == high else f"{low}–{high}"
    return text.replace(" ", "")  # one word, which no column breaks


def _search(part: str, *, as_json: bool) -> None:
    from kdgap.cli.printing import print_json, print_table, say
    from kdgap.models.search import search

    matches = search(part)
    for reason in matches.unavailable:
        say(f"note: {reason}")
    if as_json:
        print_json(
            [{"name": name, "source": of} for of, names in matches.names.items() for name in names]
        )
        return
    rows: list[tuple[str]] = []
    for source, names in matches.names.items():
        rows += [(name,) for name in names[:_MOST]]
        if len(names) > _MOST:
            rows.append((f"… and {len(names) - _MOST} more of {source}; say more of the name",))
    number = sum(map(len, matches.names.values()))
    title = f"{number} networks with {part!r} in their names"
    print_table(title, ["network"], rows, "One in full: kdgap models NAME")


def _show(spec: "ModelSpec", asked: tuple[int, int, int], *, as_json: bool) -> None:
    from kdgap.cli.printing import answer, print_json, print_table
    from kdgap.models.described import described
    from kdgap.models.entry import MODELS

    classes, channels, size = asked
    known, entry = described(spec, classes, channels, (size, size)), MODELS[spec.name]
    if as_json:
        print_json(
            [
                {
                    **spec.model_dump(),
                    **({"family": entry.family} if spec.name in MODELS else {}),
                    "citation": entry.citation,
                    "images": {"classes": classes, "channels": channels, "size": size},
                    "parameters": known.parameters,
                    "flops": known.flops,
                    "stages": {stage: list(shape) for stage, shape in known.stages.items()},
                    "pooled": None if known.pooled is None else list(known.pooled),
                    "embedding": known.embedding,
                    "lacks": list(known.lacks),
                    "weights": known.weights,
                    "warnings": list(known.warnings),
                }
            ]
        )
        return
    answer(f"{spec.name}: {entry.family}" if spec.name in MODELS else spec.name)
    answer(entry.citation)
    title = f"For {channels}x{size}x{size} images and {classes} classes"
    print_table(title, ["", "here"], [*_costs(known), *_anatomy(known), *_choices(spec, entry)])
    for warning in known.warnings:
        answer(f"warning: {warning}")


def _costs(known: "Described") -> list[tuple[str, str]]:
    from kdgap.numbers import compact

    return [
        ("parameters", f"{known.parameters:,}"),
        ("FLOPs", f"{compact(known.flops)}, a multiply-add counted as two"),
    ]


def _anatomy(known: "Described") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    groups: list[tuple[list[str], tuple[int, ...]]] = []
    for stage, shape in known.stages.items():  # a ViT's are all alike
        if groups and groups[-1][1] == shape:
            groups[-1][0].append(stage)
        else:
            groups.append(([stage], shape))
    for stages, shape in groups:
        name = stages[0] if len(stages) == 1 else f"{stages[0]} to {stages[-1]}"
        rows.append((name, _sides(shape)))
    if known.pooled is not None:
        rows.append(("last map", _sides(known.pooled)))
    if known.embedding is not None:
        rows.append(("embedding", str(known.embedding)))
    lacks = [f"no {thing.removeprefix('a ').removeprefix('an ')}" for thing in known.lacks]
    rows.append(("lacks", "\n".join(lacks) or "nothing that a method reads"))
    if known.weights is not None:
        rows.append(("weights of its makers", known.weights))
    return rows


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _choices(spec: "ModelSpec", entry: "ModelEntry") -> list[tuple[str, str]]:
    """Return what may be chosen of it, and what was."""
    rows: list[tuple[str, str]] = []
    if len(entry.stems) > 1:
        rows.append(("stem", f"{spec.stem}, of {' and '.join(entry.stems)}"))
    if entry.base_channels is not None:
        rows.append(("width", f"{spec.width:g}, of multiples of 1/{entry.base_channels}"))
    if len(entry.shortcuts) > 1:
        rows.append(("shortcut", f"{spec.shortcut}, of {' and '.join(entry.shortcuts)}"))
    from kdgap.text import settings_text

    if spec.arguments or entry.shares:
        given = settings_text(spec.arguments) or f"none, of {', '.join(entry.shares)}"
        rows.append(("arguments", given))
    return rows
