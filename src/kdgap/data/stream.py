"""The stream of augmented batches: everything is addressed by (seed, epoch, step).

Crop, flip and normalisation run on a whole batch at once, on the device that holds the images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdgap.addressing import address
from kdgap.data.dataset import Images
from kdgap.spec.run import Augmentation


def normalise(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Turn uint8 `[B, C, H, W]` into float32 with zero mean and unit deviation, channels last."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=pixels.device).view(1, -1, 1, 1)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=pixels.device)
    scaled = pixels.to(torch.float32, memory_format=torch.channels_last).mul_(scale)
    return scaled.sub_(shift.view(1, -1, 1, 1))


class BatchStream:
    """Batches of one run: any (epoch, step) can be asked for, in any order.

    Args:
        images: the training images, on the device that trains.
        batch_size: images a step; the last, partial batch is kept.
        seed: the run's seed. Runs of one seed see the same batches, whatever they train.
        augmentation: `crop_flip`, `crop` or `none`.
        mean, std: per-channel normalisation for pixels in [0, 1].
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self.mean, self.std = mean, std
        self.steps = -(-len(images) // batch_size)
        self._order: tuple[int, Tensor] | None = None

    def order(self, epoch: int) -> Tensor:
        """Return the permutation of the training images in one epoch (int64, on the CPU)."""
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(address(self.seed, "order", epoch))
            self._order = (epoch, torch.randperm(len(self.images), generator=generator))
        return self._order[1]

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return float32 images `[B, C, H, W]` and int64 labels `[B]`, both counted from 0."""
        start = step * self.batch_size
        index = self.order(epoch)[start : start + self.batch_size].to(self.images.labels.device)
        pixels = self.images.pixels[index]
        if self.augmentation != "none":
            generator = torch.Generator().manual_seed(address(self.seed, "augment", epoch, step))
            pixels = augment(pixels, generator, flip=self.augmentation == "crop_flip")
        return normalise(pixels, self.mean, self.std), self.images.labels[index]


def augment(pixels: Tensor, generator: torch.Generator, *, flip: bool) -> Tensor:
    """Crop each image at its own random place after zero padding, and flip half of them.

    Args:
        pixels: uint8 `[B, C, H, W]`.
        generator: draws on the CPU, so that every device sees the same images.
        flip: whether to mirror, which digits do not survive.

    Returns:
        uint8 `[B, C, H, W]`. The padding is an eighth of the side: 4 at 32 pixels.
    """
    batch, _, height, width = pixels.shape
    pad_y, pad_x = max(1, height // 8), max(1, width // 8)
    top = torch.randint(0, 2 * pad_y + 1, (batch,), generator=generator)
    left = torch.randint(0, 2 * pad_x + 1, (batch,), generator=generator)
    mirrored = torch.rand(batch, generator=generator) < 0.5
    device = pixels.device
    padded = F.pad(pixels, (pad_x, pad_x, pad_y, pad_y))
    # A view of every possible crop, [B, C, tops, lefts, H, W]; indexing copies only the chosen.
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)
    cropped = crops[torch.arange(batch, device=device), :, top.to(device), left.to(device)]
    if not flip:
        return cropped
    return torch.where(mirrored.to(device).view(-1, 1, 1, 1), cropped.flip(3), cropped)
