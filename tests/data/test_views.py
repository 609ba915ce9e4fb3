"""The second view of a batch: changed more, and the same whenever it is asked for."""

from typing import TYPE_CHECKING

import torch

from kdgap.data.views import stronger
from tests.engine.conftest import Lab

if TYPE_CHECKING:
    from kdgap.data import BatchStream


def pixels(channels: int = 3, size: int = 32) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (16, channels, size, size), generator=g).to(torch.uint8)


def test_it_follows_from_its_address_alone() -> None:
    images = pixels()
    before, state = images.clone(), torch.random.get_rng_state()
    first = stronger(images, 5)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(stronger(images, 5), first)
    assert not torch.equal(stronger(images, 6), first)
    assert torch.equal(images, before)
    assert (first.dtype, first.shape) == (torch.uint8, images.shape)


def test_every_image_loses_a_square_of_half_its_side_or_what_of_it_lies_within() -> None:
    for channels, size in ((3, 32), (1, 8), (1, 9)):
        images = pixels(channels, size)
        changed = stronger(images, 1)
        black = (changed == 0).all(1).sum((1, 2))
        assert bool((black >= (size // 4) ** 2).all())
        assert not bool((changed == images).flatten(1).all(1).any())


def test_images_of_any_layout_give_the_same_view() -> None:
    images = pixels()
    assert torch.equal(stronger(images.contiguous(memory_format=torch.channels_last), 3),
                       stronger(images, 3))  # fmt: skip


def test_a_stream_has_another_for_each_epoch_and_step() -> None:
    lab = Lab()
    stream: BatchStream = lab.stream(lab.spec("mlkd"))
    images, _ = stream.pixels(0, 0)
    views = [stream.stronger(images, *at) for at in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(views[0], views[3])
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
