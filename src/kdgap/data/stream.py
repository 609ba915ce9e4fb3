"""The stream of augmented batches: everything is addressed by (seed, epoch, step).

Crop and flip run on a whole batch at once, on the device that holds the images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdgap.addressing import address
from kdgap.data.views import stronger
from kdgap.deferred import F, torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from kdgap.data.dataset import Images
    from kdgap.spec.run import Augmentation


def steps_in(images: int, batch_size: int) -> int:
    """Return the batches of an epoch: the last, partial one counts unless it holds one image."""
    whole, left = divmod(images, batch_size)
    return max(1, whole + (left > 1))


class BatchStream:
    """Batches of one run: any (epoch, step) can be asked for, in any order.

    Args:
        images: the training images, on the device that trains.
        batch_size: images a step; the last, partial batch is kept. Batch norm cannot train on one
            image, so a single image that is left over joins the batch before it.
        seed: the run's seed. Runs of one seed see the same batches, whatever they train.
        augmentation: `crop_flip`, `crop` or `none`.
        part: returns which of so many images of a batch are asked for, where several processes
            share it; None = all. What is drawn for an image does not depend on it.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        part: Callable[[int], slice] | None = None,
    ) -> None:
        self.images = images
        self._pixels = images.rows()  # a view of what `Images.take` returns
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self.steps = steps_in(len(images), batch_size)
        self._part = part or slice
        self._order: tuple[int, Tensor] | None = None

    def order(self, epoch: int) -> Tensor:
        """Return the permutation of the training images in one epoch (int64, on the CPU)."""
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(address(self.seed, "order", epoch))
            self._order = (epoch, torch.randperm(len(self.images), generator=generator))
        return self._order[1]

    def size(self, step: int) -> int:
        """Return how many images a whole batch has."""
        last = step == self.steps - 1
        return len(self.images) - step * self.batch_size if last else self.batch_size

    def indices(self, epoch: int, step: int) -> Tensor:
        """Return the places of a batch's images in the training set, int64 `[B]`."""
        return self._places(epoch, step).to(self.images.labels.device)

    def _places(self, epoch: int, step: int) -> Tensor:
        start, size = step * self.batch_size, self.size(step)
        return self.order(epoch)[start : start + size][self._part(size)]

    def pixels(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return augmented images, uint8 `[B, C, H, W]`, and int64 labels `[B]`; counted from 0."""
        index = self.indices(epoch, step)
        pixels = self._pixels.index_select(0, index).permute(0, 3, 1, 2)
        if step + 1 < self.steps:  # one batch ahead and no more: it waits in the system's memory
            self.images.expect(self._places(epoch, step + 1))
        if self.augmentation != "none":
            generator = torch.Generator().manual_seed(address(self.seed, "augment", epoch, step))
            size, flip = self.size(step), self.augmentation == "crop_flip"
            pixels = augment(pixels, generator, flip=flip, of=size, part=self._part(size))
        return pixels, self.images.labels.index_select(0, index)

    def stronger(self, pixels: Tensor, epoch: int, step: int) -> Tensor:
        """Return a second view of what `pixels` returned of a whole batch: changed more, uint8."""
        assert len(pixels) == self.size(step)  # what is drawn for an image follows the one before
        return stronger(pixels, address(self.seed, "stronger", epoch, step))


def augment(
    pixels: Tensor,
    generator: torch.Generator,
    *,
    flip: bool,
    of: int | None = None,
    part: slice = slice(None),
) -> Tensor:
    """Crop each image at its own random place after zero padding, and flip half of them.

    Args:
        pixels: uint8 `[B, C, H, W]`.
        generator: draws on the CPU, so that every device sees the same images.
        flip: whether to mirror, which digits do not survive.
        of: images of the whole batch, for each of which is drawn; None = there are no others.
        part: which of them these are.

    Returns:
        uint8 `[B, C, H, W]`, channels last. The padding is an eighth of the side: 4 at 32 pixels.
    """
    batch, channels, height, width = pixels.shape
    pad_y, pad_x = max(1, height // 8), max(1, width // 8)
    whole = (batch if of is None else of,)
    top = torch.randint(0, 2 * pad_y + 1, whole, generator=generator)[part]
    left = torch.randint(0, 2 * pad_x + 1, whole, generator=generator)[part]
    mirrored = torch.rand(whole, generator=generator)[part] < 0.5
    padded = F.pad(_channels_last(pixels), (0, 0, pad_x, pad_x, pad_y, pad_y))
    # A crop is rows of pixels, each of them in one piece in memory: `runs` views every such piece.
    runs = padded.view(-1).unfold(0, width * channels, channels)
    number = torch.arange(batch)
    first_row = number * padded.shape[1] + top
    first_pixel = (first_row[:, None] + torch.arange(height)) * padded.shape[2] + left[:, None]
    crops = runs.index_select(0, first_pixel.view(-1).to(pixels.device))
    crops = crops.view(batch, height, width, channels)
    if flip:
        both = torch.cat([crops, crops.flip(2)])
        crops = both.index_select(0, (number + batch * mirrored).to(pixels.device))
    return crops.permute(0, 3, 1, 2)


def _channels_last(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 2, 3, 1).contiguous()
