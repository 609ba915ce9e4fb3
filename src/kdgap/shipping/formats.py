"""The formats of exported networks, and what a path is; starts without torch."""

from pathlib import Path
from typing import Literal

from kdgap.errors import BadInputError, nearest
from kdgap.store.instead import instead, is_study
from kdgap.store.record import RUN

Kind = Literal["run", "hub", "safetensors", "onnx", "pt2"]
HUB_WEIGHTS = "model.safetensors"
FORMATS = {"pt2": ".pt2", "onnx": ".onnx", "safetensors": ".safetensors", "hub": "-hub"}
"""Format → how a name ends: a file's always, a folder's where none is given."""
CARD_SUFFIX = ".md"


def kind_of(path: Path) -> Kind:
    """Return what a path is, by its name and what is in it.

    Raises:
        BadInputError: it is no model that is read here, or is not there.
    """
    if path.is_dir():
        if (path / RUN).exists():
            return "run"
        if (path / HUB_WEIGHTS).exists():
            return "hub"
        if is_study(path):
            raise BadInputError(
                f"{path}: is a study; name one of its runs, a folder below {path / 'runs'}"
            )
        raise BadInputError(f"{path}: neither a run nor a folder with {HUB_WEIGHTS}{instead(path)}")
    if not path.exists():
        raise BadInputError(f"{path}: not found; name a run's directory or a model's file")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return "onnx"
    return "pt2" if suffix == ".pt2" else "safetensors"


def check_format(name: str) -> None:
    """Refuse a format that there is not.

    Raises:
        BadInputError: with the nearest.
    """
    if name not in FORMATS:
        raise BadInputError(
            f"--to {name}: unknown format{nearest(name, FORMATS)}; a network is exported to"
            f" {', '.join(FORMATS)}"
        )


def check_target(target: Path, form: str) -> None:
    """Refuse a target that is there already, or whose name is that of another format.

    Raises:
        BadInputError: naming it.
    """
    wanted = [target] if form == "hub" else [target, card_beside(target)]
    for path in wanted:
        if path.exists() or path.is_symlink():
            raise BadInputError(f"{path}: is there already; name another with --out, or move it")
    if form != "hub" and target.suffix.lower() != FORMATS[form]:
        raise BadInputError(f"--out {target}: the name of a {form} file ends in {FORMATS[form]}")


def card_beside(target: Path) -> Path:
    """Return where the model card of a file is."""
    return target.with_name(target.name + CARD_SUFFIX)
