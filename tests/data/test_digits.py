"""The embedded digits: whole, fixed in their split, and there without any file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kdgap.data import DATASETS, Request, load_dataset, split_dataset
from kdgap.errors import BadInputError

NOWHERE = Request(Path("/nonexistent"))


def test_the_parts_hold_every_digit_once_with_its_label() -> None:
    dataset = load_dataset("digits", NOWHERE)
    assert dataset.train.pixels.shape == (1297, 1, 8, 8)
    assert dataset.test.pixels.shape == (500, 1, 8, 8)
    pixels = torch.cat([dataset.train.pixels, dataset.test.pixels]).reshape(-1, 64).numpy()
    labels = torch.cat([dataset.train.labels, dataset.test.labels]).numpy()
    bunch = load_digits()
    spread = np.array([round(level * 255 / 16) for level in range(17)], np.uint8)
    expected = spread[bunch.data.astype(int)]
    assert sorted(zip(map(bytes, pixels), labels, strict=True)) == sorted(
        zip(map(bytes, expected), bunch.target, strict=True)
    )
    assert dataset.classes == tuple("0123456789")


def test_the_digits_and_their_split_never_change() -> None:
    known = "942b846bc975e610de54d117cafa14154d5c5f714d91699a31a318834560a6b2"
    assert load_dataset("digits", NOWHERE).fingerprint == known


def test_they_are_the_same_where_scikit_learn_keeps_its_file_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = load_dataset("digits", NOWHERE)

    def nowhere(file: Path) -> bytes:
        raise FileNotFoundError(file)

    monkeypatch.setattr("kdgap.data.sets.digits.read_bytes", nowhere)
    assert load_dataset("digits", NOWHERE).fingerprint == usual.fingerprint


def test_normalisation_is_that_of_the_training_images() -> None:
    dataset = load_dataset("digits", NOWHERE)
    scaled = dataset.train.pixels.double() / 255
    assert dataset.mean == pytest.approx([scaled.mean().item()], abs=1e-6)
    assert dataset.std == pytest.approx([scaled.std(correction=0).item()], abs=1e-6)


def test_the_default_split_leaves_a_thousand_digits_for_training() -> None:
    dataset = load_dataset("digits", NOWHERE)
    parts = split_dataset(dataset, DATASETS["digits"].val_size, 1234, None)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (1000, 297, 500)


def test_digits_are_not_flipped() -> None:
    assert DATASETS["digits"].augmentation == "crop"


def test_digits_are_not_resized() -> None:
    with pytest.raises(BadInputError, match=r"^image_size: "):
        load_dataset("digits", Request(Path(), image_size=16))
