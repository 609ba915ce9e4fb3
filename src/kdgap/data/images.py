"""Images and labels: in memory, or in a file of which only the asked-for rows are ever copied.

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

    def chunks(self, size: int | None = None) -> Iterator[Tensor]:
        """Yield all pixels in order, uint8 `[B, C, H, W]`, at most `size` images at a time."""
        yield from torch.split(self.pixels, size or self._chunk())

    def to(self, device: torch.device) -> Images:
        """Return the same images for training on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def _chunk(self) -> int:
        channels, height, width = self.shape
        return max(1, CHUNK_BYTES // (channels * height * width))


class MappedImages(Images):
    """Images in a file that is mapped into memory: `take` chooses rows, and copies none.

    Args:
        stored: uint8 `[M, C, H, W]`, a view of the file; fastest if it lies channels last there.
        labels: int64 `[N]`, of the chosen rows.
        chosen: int64 `[N]`, which rows of the file these images are, on the CPU.
    """

    def __init__(self, stored: Tensor, labels: Tensor, chosen: Tensor) -> None:
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "_stored", stored)
        object.__setattr__(self, "_chosen", chosen)

    if TYPE_CHECKING:
        _stored: Tensor
        _chosen: Tensor

    @property
    def pixels(self) -> Tensor:
        """All of them, copied into memory: for what cannot work batch by batch."""
        return self.rows().index_select(0, torch.arange(len(self))).permute(0, 3, 1, 2)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self._stored.shape
        return channels, height, width

    def take(self, index: Tensor) -> MappedImages:
        """Return the images at `index`."""
        return MappedImages(self._stored, self.labels[index], self._chosen[index])

    def rows(self) -> Rows:
        """Return what batches are gathered from: rows of the file, copied when asked for."""
        return _MappedRows(self._stored.permute(0, 2, 3, 1), self._chosen)

    def chunks(self, size: int | None = None) -> Iterator[Tensor]:
        """Yield all pixels in order, uint8 `[B, C, H, W]`, at most `size` images at a time."""
        rows = self.rows()
        for index in torch.split(torch.arange(len(self)), size or self._chunk()):
            yield rows.index_select(0, index).permute(0, 3, 1, 2)

    def to(self, device: torch.device) -> MappedImages:
        """Return the same images; each batch goes to the device when it is gathered."""
        return MappedImages(self._stored, self.labels.to(device), self._chosen)


class _MappedRows:
    """Rows of a file, gathered on the CPU and returned where the index is."""

    def __init__(self, stored: Tensor, chosen: Tensor) -> None:
        self._stored, self._chosen = stored, chosen

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        return self._stored.index_select(dim, self._chosen[index.cpu()]).to(index.device)


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
