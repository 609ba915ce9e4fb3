"""The recipe in motion: learning rate, optimiser, and gradient clipping with its record."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from kdgap.spec.run import ClipScope, RecipeSpec


def cosine_lr(recipe: RecipeSpec, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0.

    `eta_min + (lr - eta_min) * (1 + cos(pi * epoch / epochs)) / 2` (Loshchilov and Hutter 2017,
    equation 5, without restarts). A closed form, so resuming needs no schedule state.
    """
    share = (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
    return recipe.eta_min + (recipe.lr - recipe.eta_min) * share


def make_optimiser(
    recipe: RecipeSpec,
    parameters: Sequence[nn.Parameter],
    undecayed: Sequence[nn.Parameter],
    device: torch.device,
) -> torch.optim.SGD:
    """Return SGD over all trained parameters, with weight decay on all but the undecayed."""
    left = {id(parameter) for parameter in undecayed}
    groups: list[dict[str, Any]] = [{"params": [p for p in parameters if id(p) not in left]}]
    if undecayed:
        groups.append({"params": list(undecayed), "weight_decay": 0.0})
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )


def clip_gradients(
    student: Sequence[nn.Parameter],
    projections: Sequence[nn.Parameter],
    scope: ClipScope,
    max_norm: float,
) -> tuple[Tensor, Tensor]:
    """Clip gradients in place and return the norms they had before.

    Args:
        student: parameters of the network.
        projections: parameters of the method's trainable parts; may be empty.
        scope: `all` clips the union, `student_only` leaves the projections alone, `off` clips none.
        max_norm: the largest norm that is left as it is.

    Returns:
        (norm over the union, norm over the projections), scalars on the device.
    """
    student_norm = get_total_norm([p.grad for p in student if p.grad is not None])
    projection_norm = get_total_norm([p.grad for p in projections if p.grad is not None])
    total = torch.hypot(student_norm, projection_norm.to(student_norm.device))
    if scope == "all":
        clip_grads_with_norm_([*student, *projections], max_norm, total)
    elif scope == "student_only":
        clip_grads_with_norm_(student, max_norm, student_norm)
    return total, projection_norm
