"""The files of a folder that a model hub takes, beside the weights; nothing is sent anywhere."""

from collections.abc import Iterator

from kdgap.files import json_text
from kdgap.shipping.exported import Exported
from kdgap.shipping.facts import INPUT
from kdgap.shipping.model_card import model_card

CONFIG, PREPROCESSOR, README = "config.json", "preprocessor_config.json", "README.md"
_LICENCE_NAMES = """
apache-2.0 mit bsd bsd-2-clause bsd-3-clause cc0-1.0 cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0
cc-by-nc-sa-4.0 gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 unlicense openrail unknown
"""
_KNOWN_LICENCES = frozenset(_LICENCE_NAMES.split())
"""What the Hugging Face hub calls licences, in part; another one is `other` with a name."""
_RESAMPLE = {"nearest": 0, "bilinear": 2, "bicubic": 3}
"""Numbers of Pillow, which such files hold."""


def hub_files(export: Exported, name: str) -> dict[str, bytes]:
    """Return the files of a hub folder but for its weights, by name.

    Args:
        export: what was exported.
        name: of the folder.
    """
    readme = f"---\n{''.join(_front(export, name))}---\n\n{model_card(export, name)}"
    return {
        CONFIG: _json(_config(export)),
        PREPROCESSOR: _json(_preprocessor(export)),
        README: readme.encode("utf-8", "backslashreplace"),
    }


def _json(value: object) -> bytes:
    return (json_text(value) + "\n").encode("utf-8", "backslashreplace")


def _config(export: Exported) -> dict[str, object]:
    facts = export.facts
    card = facts.card
    names = dict(enumerate(card.classes))
    return {
        "architectures": [card.model.name],
        "model_type": "kdgap",
        "kdgap_version": facts.kdgap,
        "model": card.model.model_dump(mode="json"),
        "num_labels": len(names),
        "id2label": {str(place): label for place, label in names.items()},
        "label2id": {label: place for place, label in names.items()},
        "num_channels": card.channels,
        "image_size": list(card.image_size),
        "fitted_size": list(facts.fitted_size),
        "mean": list(card.mean),
        "std": list(card.std),
        "interpolation": facts.interpolation,
        "data": card.data,
        "fingerprint": card.fingerprint,
        "weight_hash": card.weight_hash,
        "run_id": card.run_id,
        "licence": facts.licence,
        "compared": None if facts.compared is None else facts.compared.model_dump(mode="json"),
    }


def _preprocessor(export: Exported) -> dict[str, object]:
    """Return the preprocessing under the names that image processors on the hub read."""
    card, facts = export.facts.card, export.facts
    height, width = card.image_size
    first = facts.fitted_size
    return {
        "do_resize": True,
        "size": {"shortest_edge": min(first)},
        "resample": _RESAMPLE[facts.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": first[0], "width": first[1]},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(card.mean),
        "image_std": list(card.std),
        "network_size": {"height": height, "width": width},
        "kdgap_input": INPUT.partition(";")[0],
    }


def _front(export: Exported, name: str) -> Iterator[str]:
    """Yield the YAML in front of a model card; every value is JSON, which YAML reads."""
    facts, measured = export.facts, export.measured
    licence = (facts.licence or "unknown").lower()
    if licence in _KNOWN_LICENCES:
        yield f"license: {licence}\n"
    else:
        yield f"license: other\nlicense_name: {_scalar(facts.licence)}\n"
    yield "library_name: kdgap\npipeline_tag: image-classification\n"
    tags = ["kdgap", "image-classification", facts.card.model.name]
    record = export.source.record
    if record is not None and record.spec.teacher is not None:
        tags += ["knowledge-distillation", record.spec.method.name]
    yield f"tags: {_scalar(tags)}\n"
    yield f"datasets: {_scalar([facts.card.data])}\n"
    if measured is None:
        return
    yield 'metrics: ["accuracy"]\n'
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": facts.card.data, "type": facts.card.data, "split": measured.part},
        "metrics": [{"type": "accuracy", "value": measured.accuracy, "verified": False}],
    }
    yield f"model-index: {_scalar([{'name': name, 'results': [result]}])}\n"


def _scalar(value: object) -> str:
    return json_text(value, indent=None)
