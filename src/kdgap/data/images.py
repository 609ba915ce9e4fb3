"""Images and labels: in memory, or in a file of which only the asked-for rows are ever read.

Both give the same pixels for the same index, so which of the two a data set is changes no result
and is part of no id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kdgap.deferred import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from kdgap.data.stored import StoredPixels

CHUNK_BYTES = 2**22
"""About as much is copied at a time where all images are looked at, one after the other."""


class Rows(Protocol):
    """What gives the pixels at an index: a tensor uint8 `[N, H, W, C]`, or as one does."""

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        """Return uint8 `[B, H, W, C]`; `dim` is 0."""


@dataclass(frozen=True)
class Images:
    """Images uint8 `[N, C, H, W]` and labels int64 `[N]` in `[0, classes)`."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def take(self, index: Tensor) -> Images:
        """Return the images at `index`, channels last in memory, as they are trained on."""
        rows = self.pixels.permute(0, 2, 3, 1).index_select(0, index)
        return Images(rows.permute(0, 3, 1, 2), self.labels[index])

    def rows(self) -> Rows:
        """Return what batches are gathered from; of what `take` returned it is a view."""
        return self.pixels.permute(0, 2, 3, 1).contiguous()

    def expect(self, index: Tensor) -> None:
        """Be told which images are asked for next; what is in memory needs no reading ahead."""

    def chunks(self, size: int | None = None) -> Iterator[Tensor]:
        """Yield all pixels in order, uint8 `[B, C, H, W]`, at most `size` images at a time."""
        yield from torch.split(self.pixels, size or self._chunk())

    def to(self, device: torch.device) -> Images:
        """Return the same images for training on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def _chunk(self) -> int:
        channels, height, width = self.shape
        return max(1, CHUNK_BYTES // (channels * height * width))


class StoredImages(Images):
    """Images in a file: `take` chooses rows and reads none.

    Args:
        stored: the images of the file.
        labels: int64 `[N]`, of the chosen rows.
        chosen: int64 `[N]`, which rows of the file these images are, on the CPU.
    """

    def __init__(self, stored: StoredPixels, labels: Tensor, chosen: Tensor) -> None:
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "_stored", stored)
        object.__setattr__(self, "_chosen", chosen)

    if TYPE_CHECKING:
        _stored: StoredPixels
        _chosen: Tensor

    @property
    def pixels(self) -> Tensor:
        """All of them, read into memory: for what cannot work batch by batch."""
        return self.rows().index_select(0, torch.arange(len(self))).permute(0, 3, 1, 2)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self._stored.shape

    def take(self, index: Tensor) -> StoredImages:
        """Return the images at `index`."""
        return StoredImages(self._stored, self.labels[index], self._chosen[index])

    def rows(self) -> Rows:
        """Return what batches are gathered from: rows of the file, read when asked for."""
        return _StoredRows(self._stored, self._chosen)

    def expect(self, index: Tensor) -> None:
        """Let the system begin to read the images at `index`, and do not wait for it."""
        self._stored.expect(self._chosen[index].numpy())

    def chunks(self, size: int | None = None) -> Iterator[Tensor]:
        """Yield all pixels in order, uint8 `[B, C, H, W]`, at most `size` images at a time."""
        parts = torch.split(self._chosen, size or self._chunk())
        for part, following in zip(parts, (*parts[1:], None), strict=True):
            rows = self._stored.read(part.numpy())
            if following is not None:
                self._stored.expect(following.numpy())
            yield rows.permute(0, 3, 1, 2)

    def to(self, device: torch.device) -> StoredImages:
        """Return the same images; each batch goes to the device when it is gathered."""
        return StoredImages(self._stored, self.labels.to(device), self._chosen)


class _StoredRows:
    """Rows of a file, read on the CPU and returned where the index is."""

    def __init__(self, stored: StoredPixels, chosen: Tensor) -> None:
        self._stored, self._chosen = stored, chosen

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        del dim
        return self._stored.read(self._chosen[index.cpu()].numpy()).to(index.device)


def moments(chunks: Iterable[Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return per-channel mean and standard deviation of uint8 `[B, C, H, W]`, for [0, 1] pixels.

    Counts each of the 256 values exactly, so the result does not depend on summation order. A
    constant channel gets the width of one grey level, so that dividing by it stays finite.
    """
    counts: list[Tensor] = []
    for pixels in chunks:
        own = [
            torch.bincount(pixels[:, channel].reshape(-1), minlength=256)
            for channel in range(pixels.shape[1])
        ]
        counts = [a + b for a, b in zip(counts, own, strict=True)] if counts else own
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for count in counts:
        share = count.double() / count.sum()
        mean = (share * levels).sum()
        variance = (share * (levels - mean) ** 2).sum()
        means.append(round(mean.item(), 6))
        stds.append(max(round(variance.sqrt().item(), 6), round(1 / 255, 6)))
    return tuple(means), tuple(stds)
