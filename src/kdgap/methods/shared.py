"""What several methods do: precision, pairs of stages, schedules, refusals; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdgap.deferred import torch
from kdgap.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager

    from torch import Tensor

    from kdgap.models.output import Output


def wide(x: Tensor) -> Tensor:
    """Return `x` in at least float32: losses are computed wide even where networks run narrow."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_float32(like: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which products keep the precision of what they are of.

    Autocast would compute them in bfloat16, in which distances and similarities cancel.
    """
    return torch.autocast(like.device.type, enabled=False)


def embeddings(student: Output, teacher: Output) -> tuple[Tensor, Tensor]:
    """Return both embeddings `[B, D]`, in at least float32, of answers that were asked for them."""
    assert student.embedding is not None
    assert teacher.embedding is not None
    return wide(student.embedding), wide(teacher.embedding)


def last_map(answer: Output) -> Tensor:
    """Return the map `[B, D, H, W]` whose mean is the embedding, of an answer asked for it."""
    assert answer.pooled is not None
    return answer.pooled


def warm_up(epoch: int, epochs: int) -> float:
    """Return the share of a loss in an epoch counted from 0: (epoch + 1) / epochs, at most 1."""
    return min(1.0, (epoch + 1) / epochs) if epochs else 1.0


def refuse_two_classes(name: str, classes: int, otherwise: str = "choose another method") -> None:
    """Refuse fewer than three classes.

    Raises:
        BadInputError: saying what to do `otherwise`.
    """
    if classes < 3:
        raise BadInputError(
            f"{name} compares the classes beside the true one, and {classes} classes leave"
            f" {classes - 1}; {otherwise}"
        )


def by_last(student: Collection[str], teacher: Collection[str]) -> list[tuple[str, str]]:
    """Pair the stages of two networks from the last ones backwards, in the order of the network.

    What one of them has more of, at its beginning, stays without a partner.
    """
    pairs = zip(reversed(list(student)), reversed(list(teacher)), strict=False)
    return list(reversed(list(pairs)))


def by_stage(
    student: Collection[str], teacher: Collection[str], name: str
) -> list[tuple[str, str]]:
    """Pair the stages of two networks first to last.

    Raises:
        BadInputError: they have different numbers of stages.
    """
    if len(student) != len(teacher):
        raise BadInputError(
            f"{name}: the student has {len(student)} feature stages and the teacher"
            f" {len(teacher)}; choose two networks of one family"
        )
    return list(zip(student, teacher, strict=True))
