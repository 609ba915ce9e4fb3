"""A contact sheet is a PNG with a row for every class."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap.data import Dataset, Images
from kdgap.data.contact import contact_sheet

RED, BLUE = (255, 0, 0), (0, 0, 255)


def dataset_of(colours: list[tuple[int, ...]], classes: tuple[str, ...]) -> Dataset:
    """One plain 4x4 image for each colour; its place in the list is its label."""
    pixels = torch.tensor(colours, dtype=torch.uint8).view(len(colours), -1, 1, 1)
    images = Images(pixels.repeat(1, 1, 4, 4), torch.arange(len(colours)))
    channels = len(colours[0])
    return Dataset(
        "plain", images, images, classes, (0.5,) * channels, (0.5,) * channels, "", "memory"
    )


def sheet_of(dataset: Dataset) -> np.ndarray:
    content = contact_sheet(dataset, columns=3, tile=16)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.mode == "RGB"
        return np.asarray(image)


def rows_with(sheet: np.ndarray, colour: tuple[int, ...]) -> set[int]:
    return set(np.nonzero((sheet == np.array(colour)).all(axis=2))[0].tolist())


def test_every_class_has_its_images_in_its_own_row() -> None:
    sheet = sheet_of(dataset_of([RED, BLUE], ("rose", "sky")))
    red, blue = rows_with(sheet, RED), rows_with(sheet, BLUE)
    assert len(red) == len(blue) == 16
    assert max(red) < min(blue)


def test_grey_images_are_shown_grey() -> None:
    sheet = sheet_of(dataset_of([(40,), (200,)], ("dark", "light")))
    assert len(rows_with(sheet, (40, 40, 40))) == 16


@pytest.mark.parametrize("name", ["", "a" * 300, "猫 🐈", "<script>", "two\nlines"])
def test_any_class_name_can_be_drawn(name: str) -> None:
    sheet = sheet_of(dataset_of([RED, BLUE], (name, "other")))
    assert len(rows_with(sheet, RED)) == 16


def test_a_class_without_images_has_an_empty_row() -> None:
    full, empty = (
        sheet_of(dataset_of([RED], ("rose",))),
        sheet_of(dataset_of([RED], ("rose", "none"))),
    )
    assert empty.shape[0] > full.shape[0]
    assert rows_with(empty, RED) == rows_with(full, RED)
