"""The teacher in training: it only answers, so it is folded and narrowed for that."""

from dataclasses import replace

import torch
from torch import Tensor

from kdgap.engine.layout import place
from kdgap.engine.precision import BF16, compute
from kdgap.models.fold import folded
from kdgap.models.output import Network, Output
from kdgap.models.taps import NOTHING, Taps
from kdgap.spec.run import RunSpec


class Teacher:
    """A frozen network that answers in evaluation mode, without gradients.

    Args:
        network: the trained network.
        run: a run that it teaches.
        device: where it answers.
        normalisation: mean and deviation by channel that it was trained with; None = the data's.

    Attributes:
        network: the network as it was given, for measuring it; what answers in training is a copy
            with its batch norms folded, and in bf16 with its weights rounded once and for all.
    """

    def __init__(
        self,
        network: Network,
        run: RunSpec,
        device: torch.device,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    ) -> None:
        assert run.teacher is not None
        self.network = place(network, run.teacher.model, device)
        self.normalisation = normalisation
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
        if not (taps.classifier or taps.norms):
            return answer
        classifier, norms = self.network.parameters_of(taps)
        return replace(answer, classifier=classifier, norms=norms)
