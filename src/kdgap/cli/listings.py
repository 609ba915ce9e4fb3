"""`kdgap models`, `kdgap methods`, `kdgap env`: what there is."""

from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def models(
    image_size: Annotated[int, typer.Option(help="Side of the images in pixels.", min=1)] = 32,
    classes: Annotated[int, typer.Option(help="Number of classes.", min=2)] = 10,
    channels: Annotated[int, typer.Option(help="Colour channels.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """List the networks with parameters and FLOPs."""
    from kdgap.cli.printing import print_json, print_table
    from kdgap.errors import BadInputError
    from kdgap.models import MODELS
    from kdgap.models.build import model_cost
    from kdgap.numbers import compact
    from kdgap.spec.model import ModelSpec

    rows: list[dict[str, Any]] = []
    for name, entry in MODELS.items():
        for stem in entry.stems:
            spec = ModelSpec.model_validate({"name": name, "stem": stem})
            try:
                parameters, flops = model_cost(spec, classes, channels, (image_size, image_size))
            except BadInputError:
                parameters = flops = None  # type: ignore[assignment]  # images too small for it
            rows.append(
                {
                    "name": name,
                    "stem": stem,
                    "parameters": parameters,
                    "flops": flops,
                    "width_factor": entry.base_channels is not None,
                    "stages": list(entry.stages),
                    "citation": entry.citation,
                }
            )
    if as_json:
        print_json(rows)
        return
    size = f"{channels}x{image_size}x{image_size}"
    print_table(
        f"Networks for {size} images and {classes} classes",
        ["model", "stem", "parameters", "FLOPs", "width", "stages"],
        [
            (
                row["name"],
                row["stem"],
                None if row["parameters"] is None else f"{row['parameters']:,}",
                None if row["flops"] is None else compact(row["flops"]),
                "any multiple of 1/16" if row["width_factor"] else "1",
                len(row["stages"]),
            )
            for row in rows
        ],
        "FLOPs of one forward pass, a multiply-add counted as two; – = the images are too small",
    )


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One method in full.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the distillation methods, or show one with its formula and hyper-parameters."""
    from kdgap.cli.printing import answer, print_json, print_table
    from kdgap.methods import METHODS
    from kdgap.methods.page import cost, formula, hyperparameters, needs, values

    shown = sorted(METHODS) if name is None else [METHODS[name].name]
    if as_json:
        print_json(
            [
                {
                    "name": method,
                    "label": METHODS[method].label,
                    "summary": METHODS[method].summary,
                    "citation": METHODS[method].citation,
                    "needs": needs(METHODS[method]),
                    "hyperparameters": {
                        entry["key"]: {"field": field, **entry}
                        for field, entry in hyperparameters(METHODS[method]).items()
                    },
                }
                for method in shown
            ]
        )
        return
    if name is None:
        print_table(
            "Methods (kd_type)",
            ["method", "what it matches"],
            [(method, METHODS[method].summary) for method in shown],
            "One in full, with formula, hyper-parameters and source: kdgap methods NAME",
        )
        return
    cls = METHODS[name]
    head = f"{cls.name}: {cls.label}\n{cls.citation}\nreads {needs(cls)}\nbeside KD: {cost(name)}"
    for line in head.split("\n"):
        answer(line, wrap=True)
    for paragraph in formula(cls).split("\n\n"):
        answer("")
        answer(" ".join(paragraph.split()), wrap=True)
    rows = [
        (field, entry["key"], str(entry["default"]), entry.get("description", ""), values(entry))
        for field, entry in hyperparameters(cls).items()
    ]
    if rows:
        columns = ["field", "flat key", "default", "what it is", "values"]
        print_table("Hyper-parameters", columns, rows)


def env(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Show what runs here: versions, device, threads, precision, cache."""
    from kdgap.cli.printing import print_json, print_table
    from kdgap.engine.device import environment, environment_digest, pick_device
    from kdgap.paths import cache_folder
    from kdgap.store.provenance import provenance

    chosen = pick_device(device)
    known = {
        **environment(chosen),
        "environment": environment_digest(chosen),
        "cache": str(cache_folder()),
        **provenance(),
    }
    if as_json:
        print_json(known)
        return
    flat = {**known, **known["packages"], **known["variables"]}
    rows = [(k.replace("_", " "), v) for k, v in flat.items() if not isinstance(v, dict)]
    print_table("Environment", ["", "here"], rows)


def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One preset in full.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the published recipes that `preset` names, or show one with all its values."""
    from kdgap.cli.printing import answer, print_json, print_table
    from kdgap.spec.presets import PRESETS, preset
    from kdgap.text import settings_text

    shown = PRESETS if name is None else {name: preset(name)}
    if as_json:
        print_json([{"name": key, **recipe.written()} for key, recipe in shown.items()])
        return
    if name is not None:
        chosen = shown[name]
        answer(f"{name}: {chosen.teacher} to {chosen.student}")
        answer(chosen.source, wrap=True)
        rows = [("recipe", settings_text(chosen.recipe))]
        rows += [(key, settings_text(own) or "as it is") for key, own in chosen.methods.items()]
        print_table("Values", ["of", "values"], rows)
        return
    print_table(
        "Presets",
        ["preset", "methods"],
        [(key, ", ".join(recipe.methods)) for key, recipe in shown.items()],
        "One in full: kdgap presets NAME. In a run or a study: preset: NAME; of one method:"
        " methods: {dkd: {preset: NAME}}",
    )
