"""Training, on one page.

    for every epoch:                           the learning rate follows a cosine
        for every step:                        the batch is addressed by (seed, epoch, step)
            the teacher answers, frozen        once, only the outputs the method declares
            the student answers; its losses    alpha * distillation + (1 - alpha) * labels
            backward, clip, step               the norms before clipping are recorded
        divergence is looked for               the host reads the device once an epoch
        the student is validated               the earliest best epoch is kept

Nothing here draws from a global random stream, reads a test image, or touches the disk.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.addressing import address
from kdgap.data import BatchStream, Dataset, Images
from kdgap.engine.evaluate import accuracy, predict
from kdgap.engine.optimise import clip_gradients, cosine_lr, make_optimiser
from kdgap.engine.precision import compute
from kdgap.engine.tracker import Tracker
from kdgap.errors import BadInputError, RunFailedError
from kdgap.methods import Method, Projections, Term, build_method
from kdgap.methods.method import by_stage, wide
from kdgap.models import MODELS, Network, Output, build_model
from kdgap.spec import RunSpec
from kdgap.store.weights import copy_state

State = dict[str, Tensor]


class DivergedError(RunFailedError):
    """Loss or gradient became NaN or infinite; `epoch` and `step` count from 1."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(f"diverged at step {step} of epoch {epoch}: loss or gradient not finite")
        self.epoch, self.step = epoch, step


@dataclass(frozen=True)
class Trained:
    """What training leaves: two sets of weights, and the history they come from."""

    best: State
    best_epoch: int
    last: State
    history: list[dict[str, Any]]


class Teacher:
    """A frozen network in evaluation mode that answers without gradients."""

    def __init__(self, network: Network, run: RunSpec, device: torch.device) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.network.eval().requires_grad_(False)
        self._precision, self._device = run.precision, device

    def __call__(self, images: Tensor, stages: Sequence[str]) -> Output:
        """Answer one batch, capturing only `stages`."""
        with torch.no_grad(), compute(self._precision, self._device):
            answer: Output = self.network(images, stages)
            return answer


class Student:
    """A network in training with its method, projections and optimiser.

    Two students of one seed start from the same weights, whatever their methods: initialisation is
    addressed by (seed, role).
    """

    def __init__(
        self, run: RunSpec, dataset: Dataset, teacher: Teacher | None, device: torch.device
    ) -> None:
        self.run, self.device = run, device
        self.method: Method = build_method(run.method.name, run.method.parameters)
        network = build_model(
            run.model,
            len(dataset.classes),
            dataset.channels,
            dataset.image_size,
            address(run.seed, "student"),
        )
        self.stages = self.method.student_stages(network.stages)
        self.teacher_stages: tuple[str, ...] = ()
        if teacher is not None:
            self.teacher_stages = self.method.teacher_stages(teacher.network.stages)
        projections = self._projections(network, dataset, teacher)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.projections = projections.to(device)
        self.network_parameters = list(network.parameters())
        self.projection_parameters = list(projections.parameters())
        self.optimiser = make_optimiser(
            run.recipe, [*self.network_parameters, *self.projection_parameters], device
        )

    def _projections(
        self, network: Network, dataset: Dataset, teacher: Teacher | None
    ) -> Projections:
        if teacher is None:
            return Projections()
        # Shapes are read off one blank image, on the CPU or the teacher's device respectively.
        blank = torch.zeros(1, dataset.channels, *dataset.image_size)
        network.eval()
        with torch.no_grad():
            own = network(blank, self.stages)
            other = teacher.network(blank.to(self.device), self.teacher_stages)
        network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(address(self.run.seed, "projections"))
            return self.method.build(own, other)

    def step(
        self, images: Tensor, labels: Tensor, target: Output, *, probe: bool
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Take one step and return its measurements, all still on the device.

        Args:
            images: float32 `[B, C, H, W]`.
            labels: int64 `[B]`.
            target: the teacher's answer to the same images; unused without a teacher.
            probe: also measure the gradient norm of each loss term, from this step's own graph.

        Returns:
            (scalars of every step, gradient norms of the probe).
        """
        recipe, alpha = self.run.recipe, self.method.alpha
        with compute(self.run.precision, self.device):
            answer = self.network(images, self.stages)
            terms = self.method.terms(answer, target, labels, self.projections)
        ce = F.cross_entropy(wide(answer.logits), labels)
        kd = sum((term.weight * term.value for term in terms.values()), torch.zeros_like(ce))
        total = alpha * kd + (1 - alpha) * ce if terms else ce
        norms = self._term_norms(ce, terms) if probe else {}
        total.backward()  # type: ignore[no-untyped-call]
        grad_norm, projection_norm = clip_gradients(
            self.network_parameters, self.projection_parameters, recipe.clip_scope, recipe.clip_norm
        )
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
            **self._soft_targets(target),
        }
        return {name: value.detach().float() for name, value in measured.items()}, norms

    def _term_norms(self, ce: Tensor, terms: dict[str, Term]) -> dict[str, Tensor]:
        """Norms of each term's gradient on the student, with the weight it has in the total."""
        alpha = self.method.alpha
        parts = {"ce": (1 - alpha) * ce if terms else ce}
        parts |= {name: alpha * term.weight * term.value for name, term in terms.items()}
        norms = {}
        for name, part in parts.items():
            gradients = torch.autograd.grad(
                part, self.network_parameters, retain_graph=True, allow_unused=True
            )
            # A distillation term may not reach the classifier: its gradient there is None.
            reached = [g for g in gradients if g is not None]  # type: ignore[redundant-expr]
            norms[name] = nn.utils.get_total_norm(reached)
        return norms

    def _soft_targets(self, target: Output) -> dict[str, Tensor]:
        """How soft the targets are: near-zero entropy means they are labels in disguise."""
        temperature = self.method.soft_target_temperature()
        if temperature is None:
            return {}
        log_p = F.log_softmax(wide(target.logits) / temperature, dim=1)
        return {
            "teacher_entropy": -(log_p.exp() * log_p).sum(1).mean(),
            "teacher_top_prob": log_p.amax(1).exp().mean(),
        }


NO_TEACHER = Output(torch.empty(0))


def train(
    student: Student,
    teacher: Teacher | None,
    stream: BatchStream,
    val: Images,
    watchers: Sequence[Tracker] = (),
    *,
    probe: bool = True,
) -> Trained:
    """Train a student (or a teacher, or a baseline: a student without a teacher).

    Args:
        student: what is trained, in place.
        teacher: the frozen teacher, if the method needs one.
        stream: the training batches.
        val: the validation images that choose the best epoch.
        watchers: told of every step and epoch; they cannot change the run.
        probe: measure each loss term's gradient norm once an epoch; changes no result.

    Raises:
        DivergedError: naming the first bad step.
    """
    recipe, device = student.run.recipe, student.device
    best: State = {}
    best_accuracy, best_epoch = -1.0, 0
    history: list[dict[str, Any]] = []
    for epoch in range(recipe.epochs):
        lr = cosine_lr(recipe, epoch)
        for group in student.optimiser.param_groups:
            group["lr"] = lr
        student.network.train()
        meter = Meter()
        norms: dict[str, Tensor] = {}
        for step in range(stream.steps):
            images, labels = stream.batch(epoch, step)
            target = teacher(images, student.teacher_stages) if teacher else NO_TEACHER
            first = step == 0
            measured, probed = student.step(images, labels, target, probe=probe and first)
            meter.add(measured, len(labels))
            norms |= probed
            for watcher in watchers:
                watcher.step(epoch + 1, step + 1, stream.steps)
        means = meter.read(epoch)
        logits = predict(
            student.network, val, stream.mean, stream.std, student.run.precision, device
        )
        entry: dict[str, Any] = {"epoch": epoch + 1, "val_acc": accuracy(logits, val.labels)}
        entry["val_loss"] = float(F.cross_entropy(logits.double(), val.labels.cpu()))
        if not math.isfinite(entry["val_loss"]):
            raise DivergedError(epoch + 1, stream.steps)
        entry |= means | {"lr": lr}
        if norms:
            entry["term_grad_norm"] = {name: float(norm) for name, norm in norms.items()}
        history.append(entry)
        if entry["val_acc"] > best_accuracy:  # a tie keeps the earlier epoch
            best_accuracy, best_epoch = entry["val_acc"], epoch + 1
            best = copy_state(student.network)
        for watcher in watchers:
            watcher.epoch(entry)
    return Trained(best, best_epoch, copy_state(student.network), history)


class Meter:
    """Collects an epoch's measurements on the device; the host reads them once, at its end."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: list[Tensor] = []
        self._sizes: list[int] = []

    def add(self, measured: dict[str, Tensor], size: int) -> None:
        """Add one step's scalars, measured on `size` images."""
        self._names = list(measured)
        self._rows.append(torch.stack(list(measured.values())))
        self._sizes.append(size)

    def read(self, epoch: int) -> dict[str, float]:
        """Return means over images; a maximum where the name ends in `_max`, a share in `_acc`.

        Raises:
            DivergedError: a loss or gradient norm was not finite.
        """
        rows = torch.stack(self._rows).cpu().double()
        bad = torch.nonzero(~torch.isfinite(rows).all(1))
        if len(bad):
            raise DivergedError(epoch + 1, int(bad[0]) + 1)
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


def check_stages(run: RunSpec) -> None:
    """Refuse networks whose feature stages the method cannot pair.

    Raises:
        BadInputError: they have different numbers of stages.
    """
    if run.teacher is not None:
        method = build_method(run.method.name, run.method.parameters)
        by_stage(
            method.student_stages(MODELS[run.model.name].stages),
            method.teacher_stages(MODELS[run.teacher.model.name].stages),
            method.name,
        )


def check_trainable(run: RunSpec, images: int) -> None:
    """Refuse a last batch of one image, which batch norm cannot train on.

    Args:
        run: the run.
        images: number of training images.

    Raises:
        BadInputError: with what to do.
    """
    if images % run.recipe.batch_size == 1:
        raise BadInputError(
            f"batch_size {run.recipe.batch_size}: the last batch of {images:,} images would hold"
            " one image, which batch norm cannot train on; choose another size"
        )
