"""The recipe in motion: learning rate, optimiser, and gradient clipping with its record."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from kdgap.spec.run import ClipScope, RecipeSpec

MOMENTA = ("momentum_buffer", "distillation_buffer")
"""What optimisers keep of a weight, as torch calls the first."""


def learning_rate(recipe: RecipeSpec, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0.

    `cosine`: `eta_min + (lr - eta_min) * (1 + cos(pi * epoch / epochs)) / 2` (Loshchilov and Hutter
    2017, equation 5, without restarts). `step`: `lr * factor ** k` after k milestones. Closed
    forms, so resuming needs no schedule state.
    """
    if recipe.schedule == "step":
        return recipe.lr * recipe.factor ** sum(epoch >= after for after in recipe.milestones)
    share = (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
    return recipe.eta_min + (recipe.lr - recipe.eta_min) * share


class TwoMomenta(torch.optim.Optimizer):
    """SGD with one momentum for the cross-entropy's gradient and one for the distillation's.

    Zhao et al. 2023, arXiv 2307.08436 (DOT, mdistiller/engine/dot.py): the gradient of the
    cross-entropy, with weight decay, goes with momentum m - delta, that of the distillation with
    m + delta; both buffers move the weight. What only one of the two reaches has one buffer, with
    momentum m, and its weight decay.

    Attributes:
        distillation: weight → the distillation's gradient; `grad` is that of the rest. Both are
            None, or absent, where the loss does not reach.
    """

    def __init__(self, groups: list[dict[str, Any]], recipe: RecipeSpec) -> None:
        super().__init__(groups, {"lr": recipe.lr, "weight_decay": recipe.weight_decay})
        self._momentum, self._delta = recipe.momentum, recipe.dot_delta
        self.distillation: dict[nn.Parameter, Tensor] = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                self._move(weight, group["lr"], group["weight_decay"])

    def _move(self, weight: nn.Parameter, lr: float, decay: float) -> None:
        parts = {MOMENTA[0]: weight.grad, MOMENTA[1]: self.distillation.get(weight)}
        given = {name: gradient for name, gradient in parts.items() if gradient is not None}
        delta = self._delta if len(given) > 1 else 0.0
        movement = torch.zeros_like(weight)
        for number, (name, gradient) in enumerate(given.items()):
            momentum = self._momentum + (delta if name == MOMENTA[1] else -delta)
            state = self.state[weight]
            if name not in state:
                state[name] = torch.zeros_like(weight)
            buffer = state[name]
            buffer.mul_(momentum).add_(gradient if number else gradient + decay * weight)
            movement += buffer
        weight.sub_(movement, alpha=lr)


def clip_both(
    student: Sequence[nn.Parameter],
    projections: Sequence[nn.Parameter],
    distillation: dict[nn.Parameter, Tensor],
    recipe: RecipeSpec,
) -> tuple[Tensor, Tensor]:
    """Clip both gradients of every weight by the norm of their sum; see `clip_gradients`."""
    task: dict[nn.Parameter, Tensor | None] = {
        weight: weight.grad for weight in [*student, *projections]
    }
    for weight, further in distillation.items():
        own = task[weight]
        weight.grad = further if own is None else own + further
    whole, projection_norm = clip_gradients(student, projections, "off", recipe.clip_norm)
    own_norm = get_total_norm([p.grad for p in student if p.grad is not None])
    norms = {
        "all": (whole, whole),
        "student_only": (own_norm, None),
        "apart": (own_norm, projection_norm),
        "off": (None, None),
    }
    for weights, norm in zip((student, projections), norms[recipe.clip_scope], strict=True):
        for weight in weights:
            weight.grad = task[weight]
        if norm is not None:
            factor = torch.clamp(recipe.clip_norm / (norm + 1e-6), max=1.0)
            for weight in weights:
                for gradient in (weight.grad, distillation.get(weight)):
                    if gradient is not None:
                        gradient.mul_(factor)
    return whole, projection_norm


def make_optimiser(
    recipe: RecipeSpec,
    parameters: Sequence[nn.Parameter],
    undecayed: Sequence[nn.Parameter],
    device: torch.device,
) -> torch.optim.SGD | TwoMomenta:
    """Return what moves all trained parameters, with weight decay on all but the undecayed."""
    left = {id(parameter) for parameter in undecayed}
    groups: list[dict[str, Any]] = [{"params": [p for p in parameters if id(p) not in left]}]
    if undecayed:
        groups.append({"params": list(undecayed), "weight_decay": 0.0})
    if recipe.optimiser == "dot":
        return TwoMomenta(groups, recipe)
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
        scope: `all` clips the union, `student_only` leaves the projections alone, `apart` clips
            each by its own norm, `off` clips none.
        max_norm: the largest norm that is left as it is.

    Returns:
        (norm over the union, norm over the projections), scalars on the device.
    """
    student_norm = get_total_norm([p.grad for p in student if p.grad is not None])
    projection_norm = get_total_norm([p.grad for p in projections if p.grad is not None])
    total = torch.hypot(student_norm, projection_norm.to(student_norm.device))
    if scope == "all":
        clip_grads_with_norm_([*student, *projections], max_norm, total)
    elif scope in ("student_only", "apart"):
        clip_grads_with_norm_(student, max_norm, student_norm)
        if scope == "apart":
            clip_grads_with_norm_(projections, max_norm, projection_norm)
    return total, projection_norm
