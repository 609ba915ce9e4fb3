"""A network that ends in another one's classifier, behind a trained connector."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.kept_layout import pixel_mean
from kdgap.models.output import Affine, Network, Output
from kdgap.models.pooling import align
from kdgap.models.taps import NOTHING, Taps


class _Layer(nn.Module):
    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class ReusedClassifier(Network):
    """A student's stages, a connector of three layers, and a teacher's classifier, which is frozen.

    Chen et al. 2022, Knowledge Distillation with the Reused Teacher Classifier (arXiv 2203.14001):
    the connector is 1x1, 3x3 and 1x1 convolutions without bias, each with batch norm and ReLU, the
    middle one of the teacher's width over `factor`. The student's own classifier is gone.

    Args:
        body: the student, as it is built.
        like: the map `[1, D, H, W]` that the teacher averages, of one image, for its shape.
        classes: number of classes.
        factor: how much narrower the connector's middle is.
    """

    def __init__(self, body: Network, like: Tensor, classes: int, factor: int) -> None:
        super().__init__()
        width, self.size = like.shape[1], (like.shape[2], like.shape[3])
        middle = max(1, width // factor)
        own = body.drop_classifier()
        self.body, self.stages = body, body.stages
        self.connector = nn.Sequential(
            _Layer(own, middle, 1), _Layer(middle, middle, 3), _Layer(middle, width, 1)
        )
        self.classifier = nn.Linear(width, classes).requires_grad_(False)

    def adopt(self, classifier: Affine) -> None:
        """Take over the weights of a trained classifier, in the order of this network's classes."""
        with torch.no_grad():
            self.classifier.weight.copy_(classifier[0])
            self.classifier.bias.copy_(classifier[1])

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`; what is asked of stages is asked of the student's."""
        inner = replace(taps, pooled=True, embedding=False, classifier=False)
        answer: Output = self.body(images, inner)
        x = answer.pooled
        assert x is not None
        size = (min(x.shape[2], self.size[0]), min(x.shape[3], self.size[1]))
        connected = self.connector(align(x, size))
        embedding = pixel_mean(connected)
        logits = self.classifier(embedding)
        if not taps.kinds:
            return Output(logits)
        own, _ = self.parameters_of(taps)
        whole = replace(
            answer,
            logits=logits,
            pooled=connected,
            embedding=embedding,
            classifier=own,
            connected=connected,
            stages=self.stages,
        )
        return whole.only(taps)

    def parameters_of(self, taps: Taps) -> tuple[Affine | None, dict[str, Affine]]:
        """See `Network.parameters_of`."""
        _, norms = self.body.parameters_of(replace(taps, classifier=False))
        return (self.classifier.weight, self.classifier.bias) if taps.classifier else None, norms
