"""One student in training: what a step does, and what it measures on the way.

    the student answers; its losses    kd * distillation + ce * labels, by the method's weights
    backward, clip, step               the norms before clipping are recorded

`cohort.py` is the page that calls `Student.step`.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.addressing import address
from kdgap.data import Dataset
from kdgap.engine.layout import place
from kdgap.engine.optimise import (
    MOMENTA,
    TwoMomenta,
    clip_both,
    clip_gradients,
    make_optimiser,
)
from kdgap.engine.precision import compute
from kdgap.engine.ranks import ALONE, Ranks
from kdgap.engine.teacher import Teacher
from kdgap.methods import Method, Step, Term, build_method
from kdgap.methods.hyperparameters import deployed_model
from kdgap.methods.shared import wide
from kdgap.models import MODELS
from kdgap.models.build import build_model
from kdgap.models.output import Network, Output
from kdgap.models.reused import ReusedClassifier
from kdgap.models.taps import NOTHING
from kdgap.spec.run import RunSpec
from kdgap.store.weights import copy_state

State = dict[str, Tensor]
_SAVED = dict(zip(MOMENTA, ("momentum", "distillation_momentum"), strict=True))
"""What an optimiser keeps of a weight → what a saved state calls it."""


class Student:
    """A network in training with its method, projections and optimiser.

    Two students of one seed start from the same weights, whatever their methods: initialisation is
    addressed by (seed, role).

    Args:
        run: what it is.
        dataset: classes and sizes.
        labels: int64 `[N]` of the images that it is trained on.
        teacher: None for a run without one.
        device: where it trains.

    Attributes:
        ranks: those that train it together.
    """

    ranks: Ranks = ALONE

    def __init__(
        self,
        run: RunSpec,
        dataset: Dataset,
        labels: Tensor,
        teacher: Teacher | None,
        device: torch.device,
    ) -> None:
        self.run, self.device = run, device
        self._draws = MODELS[run.model.name].draws
        self.method: Method = build_method(run.method.name, run.method.parameters)
        self.preprocessing = dataset.seen_by(run.model.input)
        network = build_model(
            deployed_model(run),
            len(dataset.classes),
            dataset.channels,
            dataset.image_size,
            address(run.seed, "student"),
        )
        if isinstance(network, ReusedClassifier) and teacher is not None:
            network.adopt(teacher.classifier())
        self.taps, self.teacher_taps = self.method.student_taps(network.stages), NOTHING
        if teacher is not None:
            self.teacher_taps = self.method.teacher_taps(teacher.network.stages)
        projections = self._projections(network, dataset, labels, teacher)
        self.network = place(network, run.model, device)
        self.projections = projections.to(device)
        self.network_parameters = [p for p in network.parameters() if p.requires_grad]
        self.projection_parameters = list(projections.parameters())
        self._undecayed = [
            parameter
            for name, parameter in projections.named_parameters()
            if not self.method.decays(name)
        ]
        self.optimiser = make_optimiser(run.recipe, self._trained(), self._undecayed, device)

    def _projections(
        self, network: Network, dataset: Dataset, labels: Tensor, teacher: Teacher | None
    ) -> nn.Module:
        if teacher is None:
            return nn.Module()

        # Shapes are read off one blank image, on the CPU or the teacher's device respectively.
        def blank(size: tuple[int, int]) -> Tensor:
            return torch.zeros(1, dataset.channels, *size)

        network.eval()
        with torch.no_grad():
            own = network(blank(self.preprocessing.size), self.taps)
            seen = blank(teacher.preprocessing.size).to(self.device)
            other = teacher.network(seen, self.teacher_taps)
        network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(address(self.run.seed, "projections"))
            return self.method.build(own, other, labels.cpu())

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate of the next steps."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr

    def state(self) -> State:
        """Return weights, projections and momentum, copied to the CPU."""
        momentum = {}
        for index, parameter in enumerate(self._trained()):
            for name, kept in self.optimiser.state[parameter].items():
                if kept is None:
                    continue
                key = f"{_SAVED[name]}.{index}"
                momentum[key] = kept.detach().to("cpu", copy=True).contiguous()
        return {
            **{f"network.{name}": t for name, t in self.network_state().items()},
            **{f"projections.{name}": t for name, t in copy_state(self.projections).items()},
            **momentum,
        }

    def network_state(self) -> State:
        """Return the network's own weights, copied to the CPU."""
        return copy_state(self.network)

    def load(self, state: State) -> None:
        """Take over what `state` returned, bit for bit."""
        for part, module in (("network.", self.network), ("projections.", self.projections)):
            own = {n.removeprefix(part): t for n, t in state.items() if n.startswith(part)}
            module.load_state_dict(own)
        for index, parameter in enumerate(self._trained()):
            for name, key in _SAVED.items():
                saved = state.get(f"{key}.{index}")
                if saved is not None:
                    # The fused optimiser walks raw memory: laid out as the weight is.
                    buffer = torch.empty_like(parameter).copy_(saved)
                    self.optimiser.state[parameter][name] = buffer

    def _trained(self) -> list[nn.Parameter]:
        return [*self.network_parameters, *self.projection_parameters]

    def step(
        self,
        images: Tensor,
        step: Step,
        target: Output,
        *,
        probe: bool,
        second: tuple[Tensor, Output] | None = None,
        share: float = 1.0,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Take one step and return its measurements, all still on the device.

        Args:
            images: float32 `[B, C, H, W]`, as this student sees them.
            step: their labels, and the place in training.
            target: the teacher's answer to the same images; unused without a teacher.
            second: a stronger view of the images with the teacher's answer, where the method asks.
            probe: also measure the gradient norm of each loss term, from this step's own graph.
            share: of the images of the whole batch that are here; other ranks have the others.

        Returns:
            (scalars of every step, gradient norms of the probe), of the whole batch.
        """
        method, labels = self.method, step.labels
        weights = kd_weight, ce_weight = method.weights(step.epoch, step.epochs)
        normalising = self.ranks.normalising(self.run.batch_norm)
        with compute(self.run.precision, self.device), self._drawing(step), normalising:
            answer = self.network(images, self.taps)
            if second is not None:  # batch norm sees two batches, one after the other
                other = self.network(second[0], self.taps)
                step = replace(step, strong=(other, second[1]))
            terms = method.terms(answer, target, step, self.projections)
        ce = F.cross_entropy(wide(answer.logits), labels)
        soft = self._soft_targets(target)
        if self.ranks.size > 1:  # from here on, what is summed over ranks is of the whole batch
            ce = share * ce
            terms = {name: replace(t, value=share * t.value) for name, t in terms.items()}
            soft = {name: share * value for name, value in soft.items()}
        kd = sum((term.weight * term.value for term in terms.values()), torch.zeros_like(ce))
        total = kd_weight * kd + ce_weight * ce if terms else ce
        norms = self._term_norms(ce, terms, weights) if probe else {}
        grad_norm, projection_norm = self._gradients(total, ce, terms, weights)
        with torch.no_grad():
            method.update_state(answer, target, step, self.projections)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        measured = {
            "loss_total": total,
            "loss_ce": ce,
            "loss_kd": kd,
            **{f"loss_{name}": term.value for name, term in terms.items()},
            "train_acc": (answer.logits.argmax(1) == labels).sum(),
            "grad_norm_max": grad_norm,
            **({"proj_grad_norm_max": projection_norm} if self.projection_parameters else {}),
            **soft,
        }
        measured = {name: value.detach().float() for name, value in measured.items()}
        return self.ranks.summed(measured), norms

    @contextmanager
    def _drawing(self, step: Step) -> Iterator[None]:
        """Address what a network that is not ours draws from the global generators (dropout)."""
        if not self._draws:
            yield
            return
        own = [self.device] if self.device.type == "cuda" else []
        before, array_before = random.getstate(), np.random.get_state()  # noqa: NPY002
        seed = address(step.seed, "network")
        try:
            with torch.random.fork_rng(devices=own):
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
                yield
        finally:
            random.setstate(before)
            np.random.set_state(array_before)  # noqa: NPY002

    def _gradients(
        self, total: Tensor, ce: Tensor, terms: dict[str, Term], weights: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """Compute and clip the gradients; return norm and projections' norm of before clipping."""
        recipe, optimiser = self.run.recipe, self.optimiser
        own, projections = self.network_parameters, self.projection_parameters
        if not isinstance(optimiser, TwoMomenta):
            total.backward()  # type: ignore[no-untyped-call]
            self.ranks.add_up([p.grad for p in self._trained() if p.grad is not None])
            return clip_gradients(own, projections, recipe.clip_scope, recipe.clip_norm)
        # What weighs nothing reaches nothing: else it would count as a loss of its own.
        kd_weight, ce_weight = weights
        weighed = [(ce_weight if terms else 1.0, ce, True)]
        weighed += [(kd_weight * t.weight, t.value, t.of_labels) for t in terms.values()]
        task, taught = (
            [weight * value for weight, value, is_task in weighed if weight and is_task is side]
            for side in (True, False)
        )
        optimiser.distillation = self._reached(taught)
        reached = self._reached(task)
        self.ranks.add_up([*optimiser.distillation.values(), *reached.values()])
        for weight in self._trained():
            weight.grad = reached.get(weight)
        return clip_both(own, projections, optimiser.distillation, recipe)

    def _reached(self, losses: list[Tensor]) -> dict[nn.Parameter, Tensor]:
        """Return the gradient of a sum of losses for each weight that it reaches."""
        if not losses:
            return {}
        trained = self._trained()
        gradients = torch.autograd.grad(
            torch.stack(losses).sum(), trained, retain_graph=True, allow_unused=True
        )
        return {
            weight: gradient
            for weight, gradient in zip(trained, gradients, strict=True)
            if gradient is not None  # type: ignore[redundant-expr]
        }

    def _term_norms(
        self, ce: Tensor, terms: dict[str, Term], weights: tuple[float, float]
    ) -> dict[str, Tensor]:
        """Norms of each term's gradient on the student, with the weight it has in the total."""
        kd_weight, ce_weight = weights
        parts = {"ce": ce_weight * ce if terms else ce}
        parts |= {name: kd_weight * term.weight * term.value for name, term in terms.items()}
        norms = {}
        for name, part in parts.items():
            gradients = torch.autograd.grad(
                part, self.network_parameters, retain_graph=True, allow_unused=True
            )
            # A distillation term may not reach the classifier: its gradient there is None.
            reached = [g for g in gradients if g is not None]  # type: ignore[redundant-expr]
            self.ranks.add_up(reached)
            norms[name] = nn.utils.get_total_norm(reached)
        return norms

    def _soft_targets(self, target: Output) -> dict[str, Tensor]:
        """How soft the targets are: near-zero entropy means they are labels in disguise."""
        logits = self.method.soft_logits(target)
        if logits is None:
            return {}
        log_p = F.log_softmax(logits, dim=1)
        return {
            "teacher_entropy": -(log_p.exp() * log_p).sum(1).mean(),
            "teacher_top_prob": log_p.amax(1).exp().mean(),
        }


NO_TEACHER = Output(torch.empty(0))
