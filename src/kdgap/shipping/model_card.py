"""The model card: what a file is, how good it is, how fast, and what is not known of it."""

from collections.abc import Iterator

from kdgap.data import DATASETS
from kdgap.models.entry import MODELS
from kdgap.numbers import compact, memory, percent
from kdgap.report.tables.forms import markdown_text
from kdgap.shipping.exported import Exported
from kdgap.shipping.facts import KEY
from kdgap.store.notices import recorded
from kdgap.text import settings_text, sized

MOST_CLASSES = 100
"""Names of classes on a card; the file holds all of them."""
UNKNOWN = "unknown: nobody said it"


def model_card(export: Exported, name: str) -> str:
    """Return the model card in Markdown.

    Args:
        export: what was exported.
        name: of the file or folder.
    """
    parts = [
        [f"# {markdown_text(name)}", ""],
        _table("What it is", _about(export)),
        _table("How good it is", _quality(export)),
        _notices(export),
        _table("Size and speed", _costs(export)),
        _table("Licences", _licences(export)),
        _use(export, name),
        _classes(export),
    ]
    return "\n".join(line for part in parts for line in part)


def _table(title: str, rows: Iterator[tuple[str, str]]) -> list[str]:
    lines = [f"| {markdown_text(key)} | {markdown_text(value)} |" for key, value in rows]
    return [f"## {title}", "", "| | |", "|---|---|", *lines, ""]


def _about(export: Exported) -> Iterator[tuple[str, str]]:
    card, record = export.facts.card, export.source.record
    yield "network", sized(card.model.name, card.model.width)
    if card.model.classifier is not None:
        taken = card.model.classifier
        yield "classifier", f"taken over from {sized(taken.name, taken.width)}, behind a connector"
    yield "format", f"{export.form}, written by kdgap {export.facts.kdgap}"
    cited = f" ({DATASETS[card.data].citation})" if card.data in DATASETS else ""
    yield "data", f"{card.data}{cited}"
    if card.fingerprint is not None:
        yield "fingerprint of the data", card.fingerprint[:16]
    if record is not None:
        spec = record.spec
        settings = settings_text(dict(spec.method.parameters))
        yield "method", spec.method.name + (f" ({settings})" if settings else "")
        yield "training", f"{spec.recipe.epochs:,} epochs, seed {spec.seed}, {spec.precision}"
        yield "teacher", _teacher(record.run["teacher"])
    else:
        yield "method", "not recorded here: the source is a weights file"
    if card.run_id is not None:
        yield "run", card.run_id
    yield "weights", f"{card.checkpoint}, SHA-256 {card.weight_hash[:16]}"


def _teacher(teacher: object) -> str:
    if not isinstance(teacher, dict):
        return "none"
    model, known = teacher["model"], teacher.get("accuracy")
    name = sized(model["name"], model.get("width", 1))
    share = f", {percent(known['value'])} validation accuracy" if known else ""
    return f"{name} of {teacher['data']}{share}"


def _quality(export: Exported) -> Iterator[tuple[str, str]]:
    measured = export.measured
    if measured is None:
        yield "accuracy", "not measured"
    else:
        low, high = (f"{100 * end:.1f}" for end in measured.interval)
        images = f"{measured.images:,} {measured.part} images"
        yield (
            f"{measured.part} accuracy",
            f"{percent(measured.accuracy)}, 95 % interval {low} to {high} %"
            f" (Wilson, over {images})",
        )
        if measured.calibration_error is not None:
            yield (
                "calibration error (ECE, 15 bins)",
                f"{percent(measured.calibration_error)} on {measured.calibrated_on:,} of them",
            )
        else:
            yield "calibration error", "not measured: the data is not at hand"
        if measured.part == "validation":
            yield "test accuracy", _untested(export)
    compared = export.facts.compared
    if compared is not None:
        yield (
            "compared with PyTorch",
            f"{compared.images:,} {compared.source}: no other answer, logits within"
            f" {compared.largest_difference:.1e} of the largest",
        )


def _untested(export: Exported) -> str:
    if export.source.record is None and export.facts.card.run_id is None:
        return "not known; whether it was trained on these validation images is not known either"
    return (
        "not known: no test door was opened; validation chose the weights, so its accuracy is a"
        " little too high"
    )


def _notices(export: Exported) -> list[str]:
    record = export.source.record
    texts = [] if record is None else [notice.text for notice in recorded(record.run)]
    if not texts:
        return []
    return ["## Know before you use it", "", *(f"- {markdown_text(text)}" for text in texts), ""]


def _costs(export: Exported) -> Iterator[tuple[str, str]]:
    speed, (low, high) = export.latency, export.latency.quartiles
    yield "parameters", f"{export.parameters:,} ({compact(export.parameters)})"
    yield "file", f"{export.bytes:,} bytes ({memory(export.bytes)})"
    yield (
        "latency of one image",
        f"median {speed.median:.3g} ms, quartiles {low:.3g} to {high:.3g} ms over"
        f" {speed.calls:,} calls after warm-up",
    )
    yield (
        "measured on",
        f"the CPU of the machine that exported it: {speed.threads} of {speed.cores} cores, by"
        f" {_runtime(export.form)}; other work on it counts",
    )


def _runtime(form: str) -> str:
    from kdgap.store.provenance import installed_version

    if form == "onnx":
        return f"onnxruntime {installed_version('onnxruntime')}"
    graph = " (torch.export)" if form == "pt2" else ""
    return f"torch {installed_version('torch')}{graph}"


def _licences(export: Exported) -> Iterator[tuple[str, str]]:
    card = export.facts.card
    yield "these weights", export.facts.licence or UNKNOWN
    yield "code of the network", _code_licence(card.model.name)
    yield "data", "not recorded; see its source above"


def _code_licence(name: str) -> str:
    if ":" not in name:
        return "MIT (kdgap)"
    kind = name.partition(":")[0]
    return MODELS[name].citation if kind in ("timm", "torchvision") else UNKNOWN


def _use(export: Exported, name: str) -> list[str]:
    facts, file = export.facts, markdown_text(name)
    card = facts.card
    height, width = card.image_size
    kinds = {1: "grey", 3: "RGB"}.get(card.channels, f"{card.channels} channels")
    first = facts.fitted_size
    fitted = (
        f"The shorter side is resized to {min(first)} pixels and the centre kept"
        if first[0] == first[1]
        else f"Images are {first[0]} x {first[1]} pixels"
    )
    if first != card.image_size:
        fitted += f"; the network sees them resized to {height} x {width} ({facts.interpolation})"
    lines = [
        "## How to use it",
        "",
        f"`kdgap predict MODEL IMAGES...` takes {file} as it is. {fitted}.",
        "",
    ]
    if export.form in ("onnx", "pt2"):
        lines += [
            f"Elsewhere: its one input `images` is float32 `[B, {card.channels}, {height},"
            f" {width}]`, {kinds}, divided by 255. Normalisation is inside. Its one output `logits`"
            f" is `[B, {len(card.classes):,}]`, in the order of the classes. The metadata"
            f" `{KEY}` is JSON that says all of this.",
            "",
        ]
    else:
        lines += [
            f"Elsewhere: pixels in [0, 1], {kinds}, minus {list(card.mean)}, over"
            f" {list(card.std)}. The metadata `kdgap` of the safetensors file is its card in JSON.",
            "",
        ]
    return lines


def _classes(export: Exported) -> list[str]:
    names = export.facts.card.classes
    shown = ", ".join(markdown_text(name) for name in names[:MOST_CLASSES])
    more = f" and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
    return [f"## Its {len(names):,} classes", "", f"{shown}{more}", ""]
