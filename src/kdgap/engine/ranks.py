"""One run on several devices: its ranks, one process each, share every batch.

    each rank answers its part of the batch        consecutive parts, as equal as they can be
    its losses count by its share of the images    so that their sum is the whole's mean
    gradients and measurements are summed          then every rank takes the same step

Plain sums, not DistributedDataParallel: that averages, which is another mean where the parts differ
in size, and it sees only the gradients of one `backward`, while clipping, the norms of single terms
and an optimiser of two momenta need others summed as well.

Nothing but rank 0 validates, saves or writes. What happens to one rank happens to all: a stop is
agreed upon, and a rank that is lost ends the others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kdgap.errors import RunFailedError, StoppedError
from kdgap.models.split_norm import Synchronised

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

FOREVER = timedelta(days=365)
"""Others wait while rank 0 validates or tests; that a rank is gone is seen otherwise."""


class RankError(RunFailedError):
    """The ranks of a run cannot go on together."""


class Ranks:
    """Those that train a run together; this very class is one process alone.

    Attributes:
        rank: which of them this is, from 0.
        size: how many there are.
    """

    rank, size = 0, 1

    def part(self, images: int) -> slice:
        """Return which of a batch's images are this rank's."""
        return slice(images * self.rank // self.size, images * (self.rank + 1) // self.size)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace float32 tensors by their sums over all ranks, in place."""

    def gather(self, values: Tensor) -> Tensor:
        """Return what all ranks have, `[size, ...]`, in their order; equal on all of them."""
        return values[None]

    def summed(self, measured: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return scalars summed over ranks; those that end in `_max` are of the whole already."""
        return measured

    def broadcast(self, content: bytes) -> bytes:
        """Return what rank 0 has."""
        return content

    def together(self, pause: Callable[[], None]) -> None:
        """Call `pause`, which may raise `StoppedError`; if it does on one rank, all raise it."""
        pause()

    def check_equal(self, weights: Sequence[Tensor]) -> None:
        """Check that all ranks hold the same bits.

        Raises:
            RankError: they do not.
        """

    def normalising(self, batch_norm: str | None) -> AbstractContextManager[object]:
        """Return a context in which batch norm works as `RunSpec.batch_norm` says."""
        return nullcontext()


ALONE = Ranks()


class Group(Ranks):
    """Several processes on one machine, joined over its loopback address.

    Args:
        store: where they meet.
        rank, size: see `Ranks`.
        device: where this rank trains. CUDA tensors go by NCCL, which was not yet run on a GPU.
        explain: returns what is known of a rank that was lost, for the error.
    """

    def __init__(
        self,
        store: "Store",
        rank: int,
        size: int,
        device: torch.device,
        explain: Callable[[], str] = lambda: "",
    ) -> None:
        self.rank, self.size, self._explain = rank, size, explain
        with self._joint():
            self._host = _gloo(store, rank, size)
            self._device = self._host if device.type == "cpu" else _nccl(store, rank, size)

    @contextmanager
    def _joint(self) -> Iterator[None]:
        """Say what became of the others where something that all do together fails."""
        try:
            yield
        except RuntimeError as error:
            reason = self._explain() or "a rank was lost"
            raise RankError(f"{reason}; the last saved state is kept") from error

    def _of(self, tensor: Tensor) -> Any:
        return self._device if tensor.is_cuda else self._host

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """See `Ranks.add_up`; one message, whatever their number."""
        if not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with self._joint():
            self._of(flat).allreduce([flat]).wait()
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.detach().copy_(part.view(tensor.shape))  # in the layout that it has

    def gather(self, values: Tensor) -> Tensor:
        """See `Ranks.gather`."""
        own = values.detach().contiguous()
        every = [torch.empty_like(own) for _ in range(self.size)]
        with self._joint():
            self._of(own).allgather([every], [own]).wait()
        return torch.stack(every)

    def summed(self, measured: dict[str, Tensor]) -> dict[str, Tensor]:
        """See `Ranks.summed`."""
        names = [name for name in measured if not name.endswith("_max")]
        sums = torch.stack([measured[name] for name in names])
        self.add_up([sums])
        return measured | dict(zip(names, sums.unbind(), strict=True))

    def broadcast(self, content: bytes) -> bytes:
        """See `Ranks.broadcast`."""
        length = torch.tensor([len(content)])
        with self._joint():
            self._host.broadcast(length, 0).wait()
            sent = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)
            if self.rank:
                sent = torch.empty(max(1, int(length)), dtype=torch.uint8)
            self._host.broadcast(sent, 0).wait()
        return sent.numpy().tobytes()[: int(length)]

    def together(self, pause: Callable[[], None]) -> None:
        """See `Ranks.together`."""
        asked: StoppedError | None = None
        try:
            pause()
        except StoppedError as error:
            asked = error
        codes = self.gather(torch.tensor(0 if asked is None else asked.exit_code))
        if code := int(codes.max()):
            raise asked or StoppedError(
                "one of its ranks was told to stop; saved: the same command goes on from here", code
            )

    def check_equal(self, weights: Sequence[Tensor]) -> None:
        """See `Ranks.check_equal`; sums of the bits of each tensor are compared."""
        bits = [w.detach().view(torch.int32).sum(dtype=torch.int64) for w in weights]
        every = self.gather(torch.stack(bits).cpu())
        for rank in range(1, self.size):
            if not torch.equal(every[rank], every[0]):
                raise RankError(f"rank {rank} holds other weights than rank 0: no result is kept")

    def normalising(self, batch_norm: str | None) -> AbstractContextManager[object]:
        """See `Ranks.normalising`."""
        return nullcontext() if batch_norm == "per_rank" else Synchronised(self)


def _gloo(store: "Store", rank: int, size: int) -> Any:  # whose messages torch's stubs lack
    from torch._C._distributed_c10d import PrefixStore, ProcessGroupGloo

    # Its own choice of an address is that of the host's name, which may be open to others.
    loopback = ProcessGroupGloo.create_device(hostname="127.0.0.1")
    options = ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # noqa: SLF001
    options._devices, options._timeout = [loopback], FOREVER  # noqa: SLF001
    return ProcessGroupGloo(PrefixStore("gloo", store), rank, size, options)


def _nccl(store: "Store", rank: int, size: int) -> Any:
    from torch._C._distributed_c10d import PrefixStore, ProcessGroupNCCL

    options = ProcessGroupNCCL.Options()
    options._timeout = FOREVER  # noqa: SLF001
    return ProcessGroupNCCL(PrefixStore("nccl", store), rank, size, options)
