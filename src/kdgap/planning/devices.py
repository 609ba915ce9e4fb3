"""What can be computed on parts of a batch, one on each device, and what is refused."""

import random
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from kdgap.data.stream import steps_in
from kdgap.errors import BadInputError
from kdgap.methods import METHODS, build_method
from kdgap.methods.hyperparameters import deployed_model
from kdgap.models import MODELS
from kdgap.models.build import build_model, seen_size
from kdgap.models.split_norm import Synchronised
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec

_TRIED = 8
"""Images of a batch on which a network of others is tried, whole and in halves."""
_ROUNDING = 1e-3
"""Of the largest logit: batch norm divides by deviations that may be small."""


def check_shared_method(run: RunSpec) -> None:
    """Refuse a method whose loss is no mean over images, where devices share a batch.

    Raises:
        BadInputError: naming the methods that can.
    """
    if run.ranks == 1:
        return
    method = build_method(run.method.name, run.method.parameters)
    if not (method.compares_images() or method.views > 1):
        return
    plain = (build_method(name, {}) for name in METHODS)
    able = [m.name for m in plain if not (m.compares_images() or m.views > 1)]
    raise BadInputError(
        f"{method.name} compares or remembers the images of a batch, so that {run.ranks} devices"
        f" cannot compute it on a part each; leave devices out, or take {', '.join(able)}",
        "devices",
    )


def check_shared(
    run: RunSpec, images: int, channels: int, image_size: tuple[int, int], classes: int
) -> None:
    """Refuse batches and networks that devices cannot share.

    Args:
        run: the run.
        images: number of training images.
        channels, image_size, classes: of its data.

    Raises:
        BadInputError: a batch is too small for a part each; or a network of others draws random
            numbers in training, or answers an image by what else is in the batch.
    """
    if run.ranks == 1:
        return
    size = run.recipe.batch_size
    last = images - (steps_in(images, size) - 1) * size
    least = 2 if run.batch_norm == "per_rank" else 1
    if (smallest := min(size, last)) < least * run.ranks:
        raise BadInputError(
            f"the smallest batch of an epoch has {smallest} images, and {run.ranks} devices need"
            f" {least * run.ranks}; give another batch_size or val_size, or fewer devices",
            "devices",
        )
    if MODELS[run.model.name].draws:
        _try_shared(deployed_model(run), classes, channels, image_size)


@lru_cache(maxsize=64)
def _try_shared(spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]) -> None:
    network = build_model(spec, classes, channels, image_size, 0).train()
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(_TRIED, channels, *seen_size(spec, image_size), generator=draws)
    memory = _Remembered()

    def answer(part: slice) -> Tensor:
        memory.at = 0
        with Synchronised(memory):
            return network(images[part]).logits.float()

    half = _TRIED // 2
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        before, whole, after = _drawn(), answer(slice(_TRIED)), _drawn()
        if before != after:
            raise BadInputError(
                f"{spec.name} draws random numbers in training (dropout, or depth at random), which"
                " several devices would not draw as one does; switch that off by its arguments, or"
                " leave devices out",
                "devices",
            )
        halves = torch.cat([answer(slice(half)), answer(slice(half, _TRIED))])
    if not bool(((halves - whole).abs() <= _ROUNDING * whole.abs().max()).all()):
        raise BadInputError(
            f"{spec.name} answers an image otherwise when others are in its batch, batch norm"
            " apart, so that devices cannot share a batch; leave devices out",
            "devices",
        )


def _drawn() -> tuple[bytes, ...]:
    """Return where the global generators are that a network may draw from."""
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), repr(python).encode(), repr(array).encode()


class _Remembered:
    """Gives batch norm of a part the statistics of the whole batch, which was seen first."""

    def __init__(self) -> None:
        self.at, self._known = 0, list[Tensor]()

    def gather(self, values: Tensor) -> Tensor:
        """Return the statistics that the whole batch had at this place."""
        if self.at == len(self._known):
            self._known.append(values)
        self.at += 1
        return self._known[self.at - 1][None]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Leave gradients alone: there are none."""
