"""Image files that a user names become the pixels that a network was trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap.errors import BadInputError
from kdgap.shipping.facts import Facts, read_facts
from kdgap.shipping.photographs import batches, listed, require_images
from kdgap.spec.model import ModelSpec
from kdgap.store.card import Card


def facts(
    channels: int = 3,
    size: tuple[int, int] = (8, 8),
    stored_size: tuple[int, int] | None = None,
) -> Facts:
    card = Card(
        model=ModelSpec(name="resnet8"),
        classes=("a", "b"),
        channels=channels,
        image_size=size,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
        data="x",
        fingerprint=None,
        weight_hash="0" * 64,
        checkpoint="converted",
    )
    return Facts(kdgap="0", card=card, stored_size=stored_size)


def image(path: Path, height: int, width: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_an_image_of_the_right_size_stays_as_it_is(tmp_path: Path) -> None:
    pixels = image(tmp_path / "a.png", 8, 8)
    (batch,) = batches([tmp_path / "a.png"], facts())
    assert torch.equal(batch[0], torch.from_numpy(pixels).permute(2, 0, 1))


def test_a_photograph_is_fitted_to_the_size_of_the_data(tmp_path: Path) -> None:
    image(tmp_path / "wide.png", 20, 50)
    (batch,) = batches([tmp_path / "wide.png"], facts())
    whole = Image.open(tmp_path / "wide.png")
    centre = whole.resize((8, 8), Image.Resampling.BILINEAR, box=(15, 0, 35, 20))
    theirs = np.asarray(centre).transpose(2, 0, 1)
    assert np.array_equal(batch[0].numpy(), theirs)
    stored = facts(size=(32, 32), stored_size=(16, 16))
    assert next(batches([tmp_path / "wide.png"], stored)).shape == (1, 3, 16, 16)


def test_colour_becomes_grey_for_a_grey_network(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    (batch,) = batches([tmp_path / "grey.png"], facts(channels=1))
    assert torch.equal(batch[0, 0], torch.from_numpy(grey))


def test_where_images_are_no_squares_a_photograph_covers_their_size(tmp_path: Path) -> None:
    pixels = image(tmp_path / "a.png", 8, 16)
    tall = image(tmp_path / "b.png", 20, 16)
    kept, cut = next(batches([tmp_path / "a.png", tmp_path / "b.png"], facts(size=(8, 16))))
    assert torch.equal(kept, torch.from_numpy(pixels).permute(2, 0, 1))
    assert torch.equal(cut, torch.from_numpy(tall[6:14]).permute(2, 0, 1))
    image(tmp_path / "wide.png", 20, 90)
    (wide,) = batches([tmp_path / "wide.png"], facts(size=(8, 16), channels=1))
    assert wide.shape == (1, 1, 8, 16)


def test_folders_are_read_once_and_without_what_is_no_image(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.png", "b/c/3.jpg"):
        image(tmp_path / name, 4, 4)
    (tmp_path / "b" / "notes.txt").write_text("x")
    (tmp_path / "b" / ".4.png").write_bytes(b"")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "unnamed").write_bytes((tmp_path / "a.png").read_bytes())
    photographs = listed([tmp_path])
    names = [str(path.relative_to(tmp_path)) for path in photographs.paths]
    assert names == ["a.png", "b/2.png", "b/c/3.jpg", "unnamed"]
    assert photographs.ignored == 2


def test_all_bad_images_are_named_at_once(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    image(tmp_path / "good.png", 8, 8)
    paths = [tmp_path / name for name in ("a.png", "good.png", "b.png")]
    with pytest.raises(BadInputError, match=r"2 images cannot be used: .*a\.png, .*b\.png"):
        list(batches(paths, facts()))


def test_a_network_that_no_image_file_fits_is_refused() -> None:
    with pytest.raises(BadInputError, match="5 channels"):
        require_images(facts(channels=5), "model")
    with pytest.raises(BadInputError, match="16,000 pixels a side"):
        require_images(facts(size=(16_000, 8)), "model")


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "does not say"), ("{", "bad kdgap_export"), ('{"kdgap": 1}', "bad kdgap_export")],
)
def test_facts_are_checked(text: str | None, words: str) -> None:
    with pytest.raises(BadInputError, match=words) as error:
        read_facts(text, "file.onnx")
    assert "\n" not in str(error.value)
    assert read_facts(facts().model_dump_json(), "file.onnx") == facts()
