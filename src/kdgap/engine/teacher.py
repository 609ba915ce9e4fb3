"""The teacher in training: it only answers, so it is folded and narrowed for that."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdgap.data import Images, Preprocessing
from kdgap.engine.evaluate import predict
from kdgap.engine.layout import place
from kdgap.engine.precision import BF16, compute
from kdgap.models.fold import folded
from kdgap.models.output import Affine, Network, Output
from kdgap.models.taps import NOTHING, Taps
from kdgap.spec.run import Precision, RunSpec


class Teacher:
    """A frozen network that answers in evaluation mode, without gradients.

    Args:
        network: the trained network.
        run: a run that it teaches.
        device: where it answers.
        preprocessing: how it sees images.
        order: where each of the student's classes is among its own; None = they are the same.

    Attributes:
        network: the network as it was given, for measuring it; what answers in training is a copy
            with its batch norms folded, and in bf16 with its weights rounded once and for all.
    """

    def __init__(
        self,
        network: Network,
        run: RunSpec,
        device: torch.device,
        preprocessing: Preprocessing,
        order: tuple[int, ...] | None = None,
    ) -> None:
        assert run.teacher is not None
        self.network = place(network, run.teacher.model, device)
        self.preprocessing = preprocessing
        self._order = None if order is None else torch.tensor(order, device=device)
        self.network.eval().requires_grad_(False)
        self._precision, self._device = run.precision, device
        self._dtype = BF16 if run.precision == "bf16" else torch.float32
        answering = folded(self.network).to(self._dtype).eval().requires_grad_(False)
        self._answering = place(answering, run.teacher.model, device)

    def __call__(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """Answer one batch, capturing what `taps` asks for.

        Classifier and batch norms are the network's own: what answers has them folded and narrowed.
        """
        captured = replace(taps, classifier=False, norms=())
        # Not `inference_mode`: its tensors may not be saved for a student's backward pass.
        with torch.no_grad(), compute(self._precision, self._device):
            answer = self._answering(images.to(self._dtype), captured)
        if self._order is not None:
            answer = replace(answer, logits=answer.logits.index_select(1, self._order))
        if not (taps.classifier or taps.norms):
            return answer
        _, norms = self.network.parameters_of(taps)
        classifier = self.classifier() if taps.classifier else None
        return replace(answer, classifier=classifier, norms=norms)

    def classifier(self) -> Affine:
        """Return the network's own classifier, in the student's classes."""
        classifier, _ = self.network.parameters_of(Taps(classifier=True))
        assert classifier is not None
        if self._order is None:
            return classifier
        weight, bias = (own.index_select(0, self._order) for own in classifier)
        return weight, bias

    def predict(
        self, images: Images, precision: Precision, pause: Callable[[], None] = lambda: None
    ) -> Tensor:
        """Return the logits `[N, C]` of the network as it was given, in the student's classes."""
        logits = predict(self.network, images, self.preprocessing, precision, self._device, pause)
        return logits if self._order is None else logits[:, self._order.cpu()]
