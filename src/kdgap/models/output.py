"""What every network is to the rest of the house."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kdgap.models.taps import NOTHING, Taps

Affine = tuple[Tensor, Tensor]
"""Weight and bias."""


@dataclass(frozen=True)
class Output:
    """A network's answer to one batch; what was not asked for is empty or None.

    Attributes:
        logits: `[B, C]`.
        features: feature maps `[B, D, H, W]` by stage, after the stage's last ReLU if it has one.
        before_relu: the same before it.
        embedding: `[B, D]`, what the classifier gets, in at least float32.
        classifier: weight `[C, D]` and bias `[C]` of the layer that makes logits of it.
        norms: scale and shift `[D]` by stage, of the batch norm that ends it.
        stages: all stages of the network, where anything was asked for.
        connected: the map `[B, D, H, W]` behind a connector to another network's classifier.
        pooled: the map `[B, D, H, W]` whose mean over pixels is the embedding; in ResNets the last
            stage's.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    before_relu: Mapping[str, Tensor] = field(default_factory=dict)
    embedding: Tensor | None = None
    classifier: Affine | None = None
    norms: Mapping[str, Affine] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    connected: Tensor | None = None
    pooled: Tensor | None = None

    def only(self, taps: Taps) -> "Output":
        """Return no more than what a method asked for."""
        return Output(
            self.logits,
            {stage: self.features[stage] for stage in taps.maps},
            {stage: self.before_relu[stage] for stage in taps.before_relu},
            self.embedding if taps.embedding else None,
            self.classifier if taps.classifier else None,
            {stage: self.norms[stage] for stage in taps.norms},
            self.stages,
            self.connected if taps.connected else None,
            self.pooled if taps.pooled else None,
        )


class Network(nn.Module):
    """A network whose forward pass returns `Output` and captures only what is asked for.

    Attributes:
        stages: feature stages by name, first to last.
        layout: what images are laid out as before they enter; None = as they come.
        folds_batch_norm: whether its code is known well enough for that; see `fold.py`.
    """

    stages: tuple[str, ...] = ()
    layout: torch.memory_format | None = None
    folds_batch_norm: bool = True

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """Classify images `[B, C, H, W]`; also return what `taps` asks for."""
        raise NotImplementedError

    def parameters_of(self, taps: Taps) -> tuple[Affine | None, dict[str, Affine]]:
        """Return the classifier and the batch norms that `taps` asks for, as `Output` has them."""
        raise NotImplementedError

    def drop_classifier(self) -> int:
        """Take the linear classifier out, and return the width of the map that it averaged."""
        raise NotImplementedError

    def __call__(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """Run `forward` on images in the network's own layout."""
        if self.layout is not None:
            images = images.contiguous(memory_format=self.layout)
        output: Output = super().__call__(images, taps)
        return output
