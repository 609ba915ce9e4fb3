"""What an exported file says of itself, in whatever place its format has for that.

It is one JSON document under the key `KEY`: a metadata entry of safetensors and ONNX, an extra file
of a `.pt2` archive.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kdgap.errors import BadInputError, one_line
from kdgap.spec.model import Interpolation
from kdgap.store.card import Card, Side

KEY = "kdgap_export"
INPUT = "float32 [B, C, H, W], pixels in [0, 1]; normalised inside"
"""What the graph of an ONNX or `.pt2` file takes."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Comparison(_Frozen):
    """How an exported file answered beside PyTorch, before it was written.

    Attributes:
        images: how many images both answered.
        source: which images they were.
        largest_difference: of any logit, over the largest absolute logit (at least 1).
    """

    images: int = Field(ge=1)
    source: str
    largest_difference: float = Field(ge=0)


class Facts(_Frozen):
    """What an exported file says of itself.

    Attributes:
        kdgap: version that exported it.
        input: what the graph takes; a safetensors file has no graph.
        card: the network's card: classes in the order of the logits, size, normalisation, data.
        stored_size: height and width to which a photograph is fitted first (shorter side resized,
            centre kept), where the network then sees it at another size; None = its own size.
        licence: of the weights, as whoever exported them says; None = not known.
        compared: None in files that were written without a comparison.
    """

    format: Literal[1] = 1
    kdgap: str
    input: str = INPUT
    card: Card
    stored_size: tuple[Side, Side] | None = None
    licence: str | None = None
    compared: Comparison | None = None

    @property
    def interpolation(self) -> Interpolation:
        """How images are resized to the network's size."""
        own = self.card.model.input
        return "bilinear" if own is None else own.interpolation

    @property
    def fitted_size(self) -> tuple[int, int]:
        """Height and width to which a photograph is fitted first."""
        return self.stored_size or self.card.image_size


def read_facts(text: str | None, where: str) -> Facts:
    """Return the facts in a file's metadata.

    Raises:
        BadInputError: there are none, or bad ones.
    """
    if text is None:
        raise BadInputError(
            f"{where}: does not say which classes it knows and which images it takes (no"
            f" {KEY} in its metadata); export it with `kdgap export RUN --to FORMAT`"
        )
    try:
        return Facts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or KEY
        raise BadInputError(f"{where}: bad {KEY} ({key}: {one_line(first['msg'])})") from None
