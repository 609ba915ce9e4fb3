"""An epoch's measurements: collected on the device, read by the host once an epoch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdgap.errors import RunFailedError


class DivergedError(RunFailedError):
    """Loss or gradient became NaN or infinite; `epoch` and `step` count from 1."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(f"diverged at step {step} of epoch {epoch}: loss or gradient not finite")
        self.epoch, self.step = epoch, step


class Meter:
    """Collects one scalar of each kind a step; the first bad step is found at every reading."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: list[Tensor] = []
        self._sizes: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, measured: dict[str, Tensor], size: int) -> None:
        """Add one step's scalars, measured on `size` images."""
        self._names = list(measured)
        self._rows.append(torch.stack(list(measured.values())))
        self._sizes.append(size)

    def rows(self, epoch: int) -> Tensor:
        """Return the steps so far, float32 `[steps, scalars]` on the CPU.

        Raises:
            DivergedError: a loss or gradient norm was not finite.
        """
        if not self._rows:
            return torch.empty(0, len(self._names))
        rows = torch.stack(self._rows).cpu()
        bad = torch.nonzero(~torch.isfinite(rows).all(1))
        if len(bad):
            raise DivergedError(epoch + 1, int(bad[0]) + 1)
        return rows

    def contents(self) -> tuple[list[str], list[int]]:
        """Return the scalars' names and the steps' numbers of images."""
        return list(self._names), list(self._sizes)

    @classmethod
    def resumed(
        cls, names: Sequence[str], rows: Tensor, sizes: Sequence[int], device: torch.device
    ) -> "Meter":
        """Return a meter that goes on where another one's `rows` and `contents` were taken."""
        meter = cls()
        meter._names, meter._sizes = list(names), list(sizes)
        meter._rows = list(rows.to(device).unbind(0)) if len(rows) else []
        return meter

    def read(self, epoch: int) -> dict[str, float]:
        """Return means over images; a maximum where the name ends in `_max`, a share in `_acc`.

        Raises:
            DivergedError: a loss or gradient norm was not finite.
        """
        rows = self.rows(epoch).double()
        weights = torch.tensor(self._sizes, dtype=torch.float64)
        read: dict[str, float] = {}
        for name, column in zip(self._names, rows.unbind(1), strict=True):
            if name.endswith("_max"):
                read[name] = float(column.max())
            elif name.endswith("_acc"):  # counts of right answers, exact in float32
                read[name] = float(column.sum() / weights.sum())
            else:
                read[name] = float((column * weights).sum() / weights.sum())
        return read
