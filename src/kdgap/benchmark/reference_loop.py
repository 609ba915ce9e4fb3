"""The training loop that public CIFAR distillation code shares, as the thing to beat.

Float32 and contiguous; PIL transforms in a `DataLoader`; the teacher answers every batch for every
student again, in validation too; features of every stage are captured whether or not they are
needed; every loss is read on the host in every step. `narrow` is the same loop in bfloat16 autocast
and channels_last, as timm's users run it.
"""

import time
from collections.abc import Iterator
from itertools import chain

import psutil
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from kdgap.benchmark.case import Case
from kdgap.data import Dataset, Images
from kdgap.models.build import build_model
from kdgap.models.output import Network, Output
from kdgap.models.taps import Taps
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec

Batch = tuple[Tensor, Tensor]
LONG = 10
"""Steps a round from which the loader works in processes of its own."""


class ReferenceLoop:
    """Every run of a case in a loop of its own, one after the other.

    Args:
        case: what is trained.
        narrow: bfloat16 autocast and channels_last instead of float32 and contiguous.
    """

    def __init__(self, case: Case, *, narrow: bool) -> None:
        dataset, val = case.dataset()
        self._narrow = narrow
        self._layout = torch.channels_last if narrow else torch.contiguous_format
        self._train = _loader(dataset, dataset.train, case, training=True)
        self._val = _loader(dataset, val, case, training=False)
        self._specs = case.runs("fp32")
        self._size = (len(dataset.classes), dataset.channels, dataset.image_size)
        self._blank = torch.zeros(2, dataset.channels, *dataset.image_size)
        self._teacher: Network | None = None
        if case.teacher is not None:
            self._teacher = self._network(case.teacher, 1).eval()

    def warm_up(self) -> None:
        """Train one run of each method for a round."""
        for spec in {spec.method.name: spec for spec in self._specs}.values():
            self._epoch(self.run(spec))

    def round(self) -> float:
        """Train and validate every run for one epoch; return the seconds, start-up left out."""
        return sum(self._epoch(self.run(spec)) for spec in self._specs)

    def run(self, spec: RunSpec) -> "_Run":
        """Return a run at its start; one is alive at a time."""
        return _Run(spec, self._network(spec.model, 0), self._teacher, self._blank)

    def _network(self, model: ModelSpec, seed: int) -> Network:
        return build_model(model, *self._size, seed).to(memory_format=self._layout)

    def _epoch(self, run: "_Run") -> float:
        run.network.train()
        train = _started(self._train)
        begun = time.perf_counter()
        for images, labels in train:
            self._step(run, images.to(memory_format=self._layout), labels)
        seconds = time.perf_counter() - begun
        run.network.eval()
        val = _started(self._val)
        begun = time.perf_counter()
        for images, labels in val:
            self._validate(run, images.to(memory_format=self._layout), labels)
        return seconds + time.perf_counter() - begun

    def _step(self, run: "_Run", images: Tensor, labels: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._narrow):
            target = self._answer(run, images)
            answer = run.network(images, Taps(maps=run.network.stages))
            ce = F.cross_entropy(answer.logits, labels)
            kd = None if target is None else run.distil(answer, target)
            loss = ce if kd is None else run.alpha * kd + (1 - run.alpha) * ce
        run.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(run.parameters, 1.0)
        run.optimiser.step()
        right = (answer.logits.argmax(1) == labels).sum()
        for value in (loss, ce, kd, right):
            run.read.append(0.0 if value is None else value.item())

    @torch.no_grad()
    def _validate(self, run: "_Run", images: Tensor, labels: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._narrow):
            target = self._answer(run, images)
            answer = run.network(images, Taps(maps=run.network.stages))
            ce = F.cross_entropy(answer.logits, labels)
            kd = ce if target is None else run.distil(answer, target)
        for value in (ce, kd, (answer.logits.argmax(1) == labels).sum()):
            run.read.append(value.item())

    def _answer(self, run: "_Run", images: Tensor) -> Output | None:
        if self._teacher is None or run.spec.teacher is None:
            return None
        with torch.no_grad():
            return self._teacher(images, Taps(maps=self._teacher.stages))


class _Run:
    """One student with its projections and optimiser."""

    def __init__(
        self, spec: RunSpec, network: Network, teacher: Network | None, blank: Tensor
    ) -> None:
        self.spec, self.network = spec, network
        self.projections = nn.ModuleList()
        if spec.method.name == "feature" and teacher is not None:
            with torch.no_grad():
                taps, others = Taps(maps=network.stages), Taps(maps=teacher.stages)
                own, other = network(blank, taps), teacher(blank, others)
            pairs = zip(own.features.values(), other.features.values(), strict=True)
            for mine, theirs in pairs:
                self.projections.append(nn.Conv2d(mine.shape[1], theirs.shape[1], 1, bias=False))
        self.parameters = [*network.parameters(), *self.projections.parameters()]
        self.optimiser = torch.optim.SGD(
            self.parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self.read: list[float] = []
        numbers = {key: float(str(value)) for key, value in spec.method.parameters.items()}
        self.alpha, self._beta = numbers.get("alpha", 0.0), numbers.get("beta", 0.0)
        self._temperature = numbers.get("temperature", 1.0)

    def distil(self, answer: Output, target: Output) -> Tensor:
        """Return the distillation loss of the run's method."""
        if self.spec.method.name == "logit":
            t = self._temperature
            log_p = F.log_softmax(answer.logits / t, dim=1)
            q = F.softmax(target.logits / t, dim=1)
            return F.kl_div(log_p, q, reduction="batchmean") * t * t
        errors, distances = [], []
        features = zip(
            self.projections, answer.features.values(), target.features.values(), strict=True
        )
        for projection, own, other in features:
            size = (other.shape[2], other.shape[3])
            projected = F.adaptive_avg_pool2d(projection(own), size)
            errors.append(F.mse_loss(projected, other))
            cosine = F.cosine_similarity(projected.mean((2, 3)), other.mean((2, 3)), dim=1)
            distances.append((1 - cosine).mean())
        return torch.stack(errors).mean() + self._beta * torch.stack(distances).mean()


class _PilImages(torch.utils.data.Dataset[Batch]):
    """Decoded images behind PIL transforms, one at a time."""

    def __init__(self, images: Images, transform: transforms.Compose) -> None:
        self._arrays = images.pixels.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self._labels = images.labels
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Batch:
        return self._transform(Image.fromarray(self._arrays[index])), self._labels[index]


def _loader(dataset: Dataset, images: Images, case: Case, *, training: bool) -> DataLoader[Batch]:
    side = images.pixels.shape[-1]
    crop = [transforms.RandomCrop(side, padding=side // 8)] if training else []
    flip = [transforms.RandomHorizontalFlip()] if training and case.data != "digits" else []
    finish = [transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)]
    # Processes that live on, and none for a handful of steps: a fork just before a step would make
    # the step pay for copied pages, which an epoch of hundreds of steps does not notice.
    workers = psutil.cpu_count(logical=False) or 1 if case.steps >= LONG else 0
    return DataLoader(
        _PilImages(images, transforms.Compose([*crop, *flip, *finish])),
        batch_size=case.batch_size,
        shuffle=training,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def _started(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """Wait for the first batch, so that the start of the loader's processes is not counted."""
    batches = iter(loader)
    return chain([next(batches)], batches)
