"""One network in full: what it costs, what its maps look like, what can be read of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kdgap.errors import BadInputError, one_line
from kdgap.models.build import askable, count_cost, refuse_own_code
from kdgap.models.entry import MODELS, anatomy
from kdgap.models.taps import KINDS, Taps
from kdgap.spec.model import ModelSpec


@dataclass(frozen=True)
class Described:
    """What is known of a network, for images of one size.

    Attributes:
        parameters, flops: as `model_cost` counts them.
        stages: the map `D, H, W` of each feature stage.
        pooled: the map whose mean over pixels is the embedding, if one is.
        embedding: width of what the classifier gets, if it can be read.
        lacks: what no method can read of it, in words.
        weights: what is known of weights that others offer for it.
        warnings: what is likely to disappoint.
    """

    parameters: int
    flops: int
    stages: dict[str, tuple[int, ...]]
    pooled: tuple[int, ...] | None
    embedding: int | None
    lacks: tuple[str, ...]
    weights: str | None
    warnings: tuple[str, ...]


def described(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> Described:
    """Return what is known of a network, built without memory where its code allows that.

    Raises:
        BadInputError: it cannot be built so, or does not take such images.
    """
    try:
        parameters, flops = count_cost(spec, classes, channels, image_size)
        network, device = askable(spec, classes, channels, image_size)
        can = anatomy(spec)
        kinds = set(KINDS) - set(can.lacks) - {"connected", "norms", "before_relu"}
        taps = Taps(
            maps=can.stages if "maps" in kinds else (),
            pooled="pooled" in kinds,
            embedding="embedding" in kinds,
        )
        with torch.no_grad():
            answer = network(torch.zeros(1, channels, *image_size, device=device), taps)
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  (code that is not ours)
        refuse_own_code(spec, (channels, *image_size), error)
        size = f"{channels}x{image_size[0]}x{image_size[1]}"
        raise BadInputError(
            f"{spec.name} does not take images of {size}: {one_line(error, 200)}; give another"
            " --image-size, or arguments that fit, such as --set img_size=32 for many of timm's"
        ) from None
    pooled = None if answer.pooled is None else _shape(answer.pooled)
    embedding = None if answer.embedding is None else answer.embedding.shape[1]
    stages = {stage: _shape(map_) for stage, map_ in answer.features.items()}
    entry = MODELS[spec.name]
    return Described(
        parameters,
        flops,
        stages,
        pooled,
        embedding,
        tuple(KINDS[kind] for kind in KINDS if kind in can.lacks),
        entry.weights() if entry.weights is not None else None,
        tuple(_warnings(spec, stages, image_size)),
    )


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape[1:])


def _warnings(
    spec: ModelSpec, stages: dict[str, tuple[int, ...]], image_size: tuple[int, int]
) -> list[str]:
    if not stages or max(list(stages.values())[-1][1:]) > 1 or min(image_size) == 1:
        return []
    height, width = image_size
    stem = "stem cifar" if spec.stem != "cifar" else "another stem, such as patch_size 1"
    return [
        f"the last map is 1x1 for images of {height}x{width}: methods that compare maps see no"
        f" places there. Let it see larger images (input: {{size: 224}}), or give it {stem}"
    ]
