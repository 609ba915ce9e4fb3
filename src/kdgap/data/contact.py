"""A contact sheet: a PNG with some images of every class, to see what a data set really holds."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from kdgap.deferred import torch

if TYPE_CHECKING:
    from kdgap.data.dataset import Dataset

_ROWS_AT_MOST = 40


def contact_sheet(dataset: Dataset, columns: int = 12, tile: int = 48) -> bytes:
    """Return a PNG: a row a class with its name, then its first `columns` training images."""
    label_width, gap = 120, 4
    classes = dataset.classes[:_ROWS_AT_MOST]
    size = (label_width + columns * (tile + gap) + gap, len(classes) * (tile + gap) + gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(classes):
        y = gap + row * (tile + gap)
        draw.text((gap, y + tile // 2 - 6), name[:18], fill="black")
        index = torch.nonzero(dataset.train.labels == row).flatten()[:columns]
        for column, pixels in enumerate(dataset.train.take(index).pixels):
            grey = pixels.shape[0] == 1
            array = pixels[0].numpy() if grey else pixels[:3].permute(1, 2, 0).numpy()
            image = Image.fromarray(array).convert("RGB").resize((tile, tile), Image.Resampling.BOX)
            sheet.paste(image, (label_width + column * (tile + gap), y))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()
