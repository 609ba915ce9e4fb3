"""The card of a weights file: what the weights are, so that they cannot be taken for others.

The card is JSON in the metadata of the safetensors file itself, so it travels with the weights.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from kdgap.errors import TeacherError, one_line
from kdgap.files import open_file
from kdgap.spec import ModelSpec

_KEY = "kdgap"


Side = Annotated[int, Field(ge=1, le=16_384)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MeasuredAccuracy(_Frozen):
    """Validation accuracy in [0, 1], and all that it depends on."""

    value: float = Field(ge=0, le=1)
    split_seed: int
    val_size: int
    limit: int | None
    choose_on: Literal["val", "test"] = "val"
    precision: Literal["fp32", "bf16"]
    environment: str


class Card(_Frozen):
    """What a weights file holds.

    Attributes:
        model: architecture, stem and width.
        classes: class names in label order.
        channels: input channels.
        image_size: height and width in pixels of the images it was trained on.
        mean: per-channel mean of the normalisation, for pixels in [0, 1].
        std: per-channel standard deviation of the normalisation.
        data: name of the data set.
        fingerprint: content fingerprint of the data; None where it is not known (converted).
        weight_hash: SHA-256 over the tensors' names, types, shapes and bytes.
        checkpoint: `best` by validation, `last` epoch, or `converted` from elsewhere.
        epoch: the epoch (from 1) after which the weights were taken.
        run_id: the run that made them.
        accuracy: on the validation images; None = never measured.
    """

    format: Literal[1] = 1
    model: ModelSpec
    classes: tuple[str, ...] = Field(min_length=2, max_length=1_000_000)
    channels: int = Field(ge=1, le=1024)
    image_size: tuple[Side, Side]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data: str
    fingerprint: str | None
    weight_hash: str
    checkpoint: Literal["best", "last", "converted"]
    epoch: int | None = None
    run_id: str | None = None
    accuracy: MeasuredAccuracy | None = None

    def metadata(self) -> dict[str, str]:
        """Return the safetensors metadata that carries this card."""
        return {_KEY: self.model_dump_json()}


def is_pickle(path: Path) -> bool:
    """Return whether a file starts like a pickle, bare or in torch's zip archive."""
    with open_file(path) as stream:
        head = stream.read(9)
    # A safetensors file starts with the length of its header, whose first byte may be a pickle's;
    # its ninth byte opens the header.
    return (head[:1] == b"\x80" and head[8:] != b"{") or head[:4] == b"PK\x03\x04"


def refuse_pickle(path: Path) -> None:
    """Refuse a file that is missing, unreadable, or a pickle, without executing anything.

    Raises:
        TeacherError: a `ValueError`, as the reference raises for missing teacher weights.
    """
    try:
        pickled = is_pickle(path)
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else error.strerror
        raise TeacherError(f"weights {path}: {reason}{_near(path)}") from None
    if pickled or path.suffix in (".pth", ".pt", ".pkl", ".pickle", ".bin", ".ckpt"):
        raise TeacherError(
            f"weights {path}: a pickle is never loaded; convert it once with {_conversion(path)}"
        )


def _conversion(path: Path) -> str:
    same = path.suffix == ".safetensors"
    out = f" --out {path.with_suffix('.converted.safetensors')}" if same else ""
    return f"`kdgap convert {path} --model NAME{out}`"


def _near(path: Path) -> str:
    twin = path.with_suffix(".pth")
    if path.suffix == ".safetensors" and twin.is_file():
        return f"; {twin} can be converted with `kdgap convert {twin} --model NAME`"
    return "; train the teacher first, or give its path with --teacher-weights"


def read_card(path: Path) -> Card:
    """Read the card of a weights file.

    Raises:
        TeacherError: the file is missing, a pickle, damaged, or has no card.
    """
    refuse_pickle(path)
    try:
        with safe_open(path, framework="np") as stream:
            metadata = stream.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise TeacherError(f"weights {path}: not a safetensors file ({one_line(error)})") from None
    if _KEY not in metadata:
        raise TeacherError(
            f"weights {path}: no card says what they are; make one with {_conversion(path)}"
        )
    try:
        return Card.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise TeacherError(f"weights {path}: bad card ({key}: {one_line(first['msg'])})") from None
