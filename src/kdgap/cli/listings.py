"""`kdgap methods`, `kdgap presets`, `kdgap env`: what there is."""

from typing import Annotated

import typer

METHODS_EXAMPLES = "Examples: kdgap methods\nkdgap methods dkd\nkdgap methods --json"
PRESETS_EXAMPLES = "Examples: kdgap presets\nkdgap presets mdistiller/resnet56-resnet20"
ENV_EXAMPLES = "Examples: kdgap env\nkdgap env --device cpu --json"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One method in full.")] = None,
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
        answer(line)
    for paragraph in formula(cls).split("\n\n"):
        answer("")
        answer(" ".join(paragraph.split()))
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
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One preset in full.")] = None,
    as_json: Json = False,
) -> None:
    """List the published recipes, or show one with all its values."""
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
        answer(chosen.source)
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
