"""Networks of blocks in stages with a linear classifier: what is captured where."""

import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.kept_layout import pixel_mean
from kdgap.models.output import Affine, Network, Output
from kdgap.models.taps import Taps


class StagedNetwork(Network):
    """A network whose stages are attributes of their names, each an `nn.Sequential` of blocks.

    Attributes:
        fc: the classifier.
    """

    fc: nn.Linear

    def last_map(self, x: Tensor) -> Tensor:
        """Return the map that is averaged, of the last stage's; in ResNets they are the same."""
        return x

    def around_relu(self, stage: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a stage's map before its last ReLU, and what the stage makes of `x`."""
        blocks: nn.Sequential = getattr(self, stage)
        before = self.before_relu(blocks[-1], blocks[:-1](x))
        return before, F.relu(before)

    def before_relu(self, block: nn.Module, x: Tensor) -> Tensor:
        """Return what a stage's last block makes of `x`, but for its last ReLU."""
        raise NotImplementedError

    def last_norm(self, block: nn.Module) -> nn.BatchNorm2d:
        """Return the batch norm before a block's last ReLU."""
        raise NotImplementedError

    def norm_of(self, stage: str) -> nn.BatchNorm2d:
        """Return the batch norm before a stage's last ReLU."""
        return self.last_norm(getattr(self, stage)[-1])

    def run_stages(
        self, x: Tensor, taps: Taps
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Return the last stage's map; by stage the maps, and those before ReLU, asked for."""
        features: dict[str, Tensor] = {}
        before: dict[str, Tensor] = {}
        for stage in self.stages:
            blocks: nn.Sequential = getattr(self, stage)
            if stage in taps.before_relu:
                before[stage], x = self.around_relu(stage, x)
            else:
                x = blocks(x)
            if stage in taps.maps:
                features[stage] = x
        return x, features, before

    def classify(self, x: Tensor, taps: Taps) -> Output:
        """Run the stages and the classifier on what the stem made, `[B, D, H, W]`."""
        x, features, before = self.run_stages(x, taps)
        x = self.last_map(x)
        embedding = pixel_mean(x)
        logits = self.fc(embedding)
        if not taps.kinds:
            return Output(logits)
        pooled = x if taps.pooled else None
        kept = embedding if taps.embedding else None
        inner = self.parameters_of(taps)
        return Output(logits, features, before, kept, *inner, self.stages, pooled=pooled)

    def drop_classifier(self) -> int:
        """See `Network.drop_classifier`."""
        width = self.fc.in_features
        self.fc = nn.Identity()  # type: ignore[assignment]
        return width

    def parameters_of(self, taps: Taps) -> tuple[Affine | None, dict[str, Affine]]:
        """See `Network.parameters_of`."""
        norms = {stage: self.norm_of(stage) for stage in taps.norms}
        return (
            (self.fc.weight, self.fc.bias) if taps.classifier else None,
            {stage: (norm.weight, norm.bias) for stage, norm in norms.items()},
        )
