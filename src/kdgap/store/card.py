"""The card of a weights file: what the weights are, so that they cannot be taken for others.

The card is JSON in the metadata of the safetensors file itself, so it travels with the weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from kdgap.advice import command
from kdgap.errors import TeacherError, one_line
from kdgap.files import open_file
from kdgap.placeholder import HEAD_BYTES, placeholder
from kdgap.spec.model import ModelSpec
from kdgap.store.tensorfile import Header, NotSafetensorsError, read_header

_KEY = "kdgap"


TrainedImages = Literal["train", "train+val"]
Side = Annotated[int, Field(ge=1, le=16_384)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MeasuredAccuracy(_Frozen):
    """Validation accuracy in [0, 1], and all that it depends on."""

    value: float = Field(ge=0, le=1)
    split_seed: int = Field(ge=0, lt=2**63)
    val_size: int = Field(ge=0)
    limit: int | None = Field(ge=1)
    choose_on: Literal["val", "test"] = "val"
    precision: Literal["fp32", "bf16"]
    environment: str

    @model_validator(mode="after")
    def _on_images(self) -> "MeasuredAccuracy":
        if self.choose_on == "val" and self.val_size == 0:
            raise ValueError("an accuracy on no validation image")
        return self


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
        fingerprint: content fingerprint of the data it was trained on; None where that is not known
            (converted).
        weight_hash: SHA-256 over the tensors' names, types, shapes and bytes.
        checkpoint: `best` by validation, `last` epoch, or `converted` from elsewhere.
        epoch: the epoch (from 1) after which the weights were taken.
        run_id: the run that made them.
        accuracy: on the validation images; None = never measured.
        measured_on: fingerprint of the data that the accuracy was measured on, where it is other
            data than it was trained on.
        trained_on: `train+val` where it was trained on all training images, so that those set
            apart for validation are none that it has not seen.
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
    measured_on: str | None = None
    trained_on: TrainedImages = "train"

    @model_validator(mode="after")
    def _normalisation_fits(self) -> "Card":
        if not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise ValueError("mean and std are not one number a channel, std above 0")
        return self

    @model_serializer(mode="wrap")
    def _neutral_left_out(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that the bytes of cards stay what they were before the fields came.
        fields: dict[str, Any] = plain(self)
        if self.measured_on is None:
            del fields["measured_on"]
        if self.trained_on == "train":
            del fields["trained_on"]
        return fields

    @property
    def stored_side(self) -> int | None:
        """Side of the images that it was trained on, as far as it is known and one number."""
        own = self.model.input.size if self.model.input else None
        height, width = self.image_size
        return height if own is None and height == width else None

    @property
    def measured_data(self) -> str | None:
        """Fingerprint of the data that the accuracy was measured on; None = not known."""
        return self.measured_on or self.fingerprint

    def has_seen_validation(self, data: str, fingerprint: str | None) -> bool:
        """Return whether it was trained on the images that are set apart for validation.

        Args:
            data: name of the data set that they are of.
            fingerprint: its fingerprint; None = not known.
        """
        other = None not in (self.fingerprint, fingerprint) and self.fingerprint != fingerprint
        return self.trained_on == "train+val" and self.data == data and not other

    def metadata(self) -> dict[str, str]:
        """Return the safetensors metadata that carries this card."""
        return {_KEY: self.model_dump_json()}


def is_pickle(stream: BinaryIO) -> bool:
    """Return whether a file starts like a pickle, bare or in torch's zip archive."""
    stream.seek(0)
    head = stream.read(9)
    # A safetensors file starts with the length of its header, whose first byte may be a pickle's;
    # its ninth byte opens the header.
    return (head[:1] == b"\x80" and head[8:] != b"{") or head[:4] == b"PK\x03\x04"


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Header]]:
    """Open a safetensors file and check its header; a pickle is refused without executing anything.

    Raises:
        TeacherError: a `ValueError`, as the reference raises for missing teacher weights: the file
            is missing, cannot be read, is a pickle, or no safetensors file.
    """
    try:
        with open_file(path) as stream:
            if what := placeholder(stream.read(HEAD_BYTES)):
                raise TeacherError(f"weights {path}: {what}")
            if is_pickle(stream) or path.suffix in PICKLE_SUFFIXES:
                raise TeacherError(
                    f"weights {path}: a pickle is never loaded; convert it once with"
                    f" {_conversion(path)}"
                )
            yield stream, read_header(stream)
    except NotSafetensorsError as error:
        raise TeacherError(f"weights {path}: not a safetensors file ({one_line(error)})") from None
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else error.strerror
        way = _near(path) if isinstance(error, FileNotFoundError) else ""
        raise TeacherError(f"weights {path}: {reason}{way}") from None


PICKLE_SUFFIXES = (".pth", ".pt", ".pkl", ".pickle", ".bin", ".ckpt")


def _conversion(path: Path) -> str:
    same = path.suffix == ".safetensors"
    out = ("--out", path.with_suffix(".converted.safetensors")) if same else ()
    return f"`{command('convert', path, '--model', 'NAME', '--data', 'DATA', *out)}`"


def _near(path: Path) -> str:
    twin = path.with_suffix(".pth")
    if path.suffix == ".safetensors" and twin.is_file():
        return f"; {twin} can be converted with {_conversion(twin)}"
    return "; train the teacher first, or give another path (--teacher-weights)"


def read_card(path: Path) -> Card:
    """Read the card of a weights file.

    Raises:
        TeacherError: see `opened`; or it has no card.
    """
    with opened(path) as (_, header):
        return card_of(path, header)


def card_of(path: Path, header: Header) -> Card:
    """Return the card in a header.

    Raises:
        TeacherError: there is none, or a bad one.
    """
    if _KEY not in header.metadata:
        raise TeacherError(
            f"weights {path}: no card says what they are; make one with {_conversion(path)}"
        )
    try:
        return Card.model_validate_json(header.metadata[_KEY])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "normalisation"
        raise TeacherError(f"weights {path}: bad card ({key}: {one_line(first['msg'])})") from None
