"""What networks answered, for the report's page: which gains, and small pictures if asked."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kdgap.errors import KdgapError, one_line
from kdgap.judge.analysis import Analysis
from kdgap.judge.answer_measures import DisputedImage, ImageByImage
from kdgap.judge.answers import COLUMNS, TILE, NoAnswersError, Thumbnails
from kdgap.judge.context import Context
from kdgap.judge.entries import Gain
from kdgap.judge.image_by_image import image_by_image, pictured_run
from kdgap.report.tables.cells import pair

MOST_GAINS = 12
"""Gains whose answers are read: each takes all predictions of its seeds."""
MOST_PICTURED, MOST_IMAGES = 4, 24
"""Gains with small pictures, and pictures of each: about 50 kB a gain."""


@dataclass(frozen=True)
class PicturedGain:
    """A gain with what its students answered; `number` is its place among the gains, from 1."""

    number: int
    gain: Gain
    pictured: ImageByImage

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.gain.label}, {pair(self.gain)}"


@dataclass(frozen=True)
class DisputedImages:
    """The images on which one gain's students disagree with their teacher.

    Attributes:
        entry: the gain.
        images: which ones.
        style: rules that show the place `n` of the picture in an element of class `dN-n`.
        reason: why there is no picture; empty where there is.
    """

    entry: PicturedGain
    images: Sequence[DisputedImage]
    style: Markup
    reason: str


def pictured_gains(context: Context, analysis: Analysis) -> list[PicturedGain]:
    """Return the first gains of which runs keep what they answered."""
    shown: list[PicturedGain] = []
    for number, (arm, gain) in enumerate(zip(context.finals, analysis.gains, strict=True), 1):
        if len(shown) == MOST_GAINS:
            break
        try:
            pictured = image_by_image(arm, context.baseline(arm), context.evidence)
        except NoAnswersError:
            continue
        shown.append(PicturedGain(number, gain, pictured))
    return shown


def disputed_images(
    context: Context, entries: Sequence[PicturedGain], thumbnails: Thumbnails | None
) -> list[DisputedImages]:
    """Return the disputed images of the first gains with small pictures; none unless asked."""
    if thumbnails is None:
        return []
    shown = []
    for entry in entries[:MOST_PICTURED]:
        images = entry.pictured.disputed[:MOST_IMAGES]
        if not images:
            continue
        folder = pictured_run(context.finals[entry.number - 1], context.evidence)
        try:
            picture = thumbnails(folder, [image.index for image in images])
        except (KdgapError, OSError) as error:
            shown.append(DisputedImages(entry, images, Markup(""), one_line(error)))
            continue
        shown.append(DisputedImages(entry, images, _style(entry.number, picture, images), ""))
    return shown


def _style(number: int, picture: bytes, images: Sequence[DisputedImage]) -> Markup:
    """Return rules that cut a picture into its squares, so that it is on the page once."""
    encoded = base64.b64encode(picture).decode()
    rules = [f".d{number} {{ background-image: url(data:image/png;base64,{encoded}) }}"]
    for place in range(len(images)):
        left, top = place % COLUMNS * TILE, place // COLUMNS * TILE
        rules.append(f".d{number}-{place} {{ background-position: -{left}px -{top}px }}")
    return Markup("\n".join(rules))  # noqa: S704  # numbers and base64
