"""Networks from specifications: checked, initialised at an address, and counted."""

from functools import lru_cache

import torch
from torch import Tensor

from kdgap.errors import BadInputError, TeacherError
from kdgap.models.entry import MODELS, ModelEntry
from kdgap.models.output import Network
from kdgap.models.reused import ReusedClassifier
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import Taps
from kdgap.spec.run import ModelSpec


def build_model(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int], init_seed: int
) -> Network:
    """Build a network with freshly initialised weights.

    Args:
        spec: architecture, stem and width.
        classes: number of classes, at least 2.
        channels: colour channels of the images.
        image_size: height and width in pixels.
        init_seed: the address of the initialisation; the global random state is left alone.

    Raises:
        BadInputError: the architecture has no such stem or width, or the images are too small.
    """
    check_model(spec, image_size)
    if classes < 2:
        raise BadInputError(f"{spec.name}: needs at least 2 classes, got {classes}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)
        return _built(spec, classes, channels, image_size)


def _built(spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]) -> Network:
    network, taken = MODELS[spec.name].build(spec, classes, channels), spec.classifier
    if taken is None:
        return network
    other = ModelSpec(name=taken.name, stem=taken.stem, width=taken.width)
    with torch.device("meta"), torch.no_grad():
        teacher = MODELS[other.name].build(other, classes, channels).eval()
        last = teacher.stages[-1]
        answer = teacher(torch.empty(1, channels, *image_size), Taps(maps=(last,)))
    if not isinstance(network, StagedNetwork):
        raise BadInputError(f"{spec.name} has no linear classifier to replace; choose another")
    return ReusedClassifier(network, answer.features[last], classes, taken.factor)


def check_model(spec: ModelSpec, image_size: tuple[int, int] | None = None) -> ModelEntry:
    """Check a specification before anything is built; see `build_model` for the errors."""
    if spec.classifier is not None:
        taken = spec.classifier
        check_model(ModelSpec(name=taken.name, stem=taken.stem, width=taken.width), image_size)
    entry = MODELS[spec.name]
    if spec.stem not in entry.stems:
        raise BadInputError(
            f"{spec.name} has no {spec.stem!r} stem; it has {entry.stems[0]!r}", "stem"
        )
    if entry.base_channels is None:
        if spec.width != 1.0:
            raise BadInputError(f"{spec.name} has no width factor; leave width at 1", "width")
    else:
        width = entry.base_channels * spec.width
        if width < 1 or width != round(width):
            raise BadInputError(
                f"{spec.name}: width {spec.width:g} makes {width:g} channels; choose a multiple"
                f" of 1/{entry.base_channels} = {1 / entry.base_channels:g}",
                "width",
            )
    smallest = entry.total_stride[spec.stem]
    if image_size is not None and min(image_size) < smallest:
        height, size = image_size
        raise BadInputError(
            f"{spec.name} with the {spec.stem} stem shrinks its input {smallest} times:"
            f" images of {height}x{size} pixels are too small"
        )
    return entry


def load_state(network: Network, state: dict[str, Tensor], source: str) -> None:
    """Load weights, strictly: every name and shape must match.

    Raises:
        TeacherError: naming the first tensor that does not fit.
    """
    own = network.state_dict()
    for name in [*own, *state]:
        if name not in state:
            raise TeacherError(f"{source}: wrong architecture: tensor {name!r} is missing")
        if name not in own:
            raise TeacherError(f"{source}: wrong architecture: unexpected tensor {name!r}")
        if own[name].shape != state[name].shape:
            raise TeacherError(
                f"{source}: wrong architecture: {name!r} is {list(state[name].shape)},"
                f" expected {list(own[name].shape)}"
            )
        if own[name].dtype != state[name].dtype:
            raise TeacherError(
                f"{source}: {name!r} holds {state[name].dtype}, expected {own[name].dtype}"
            )
        if state[name].is_floating_point() and not bool(torch.isfinite(state[name]).all()):
            raise TeacherError(f"{source}: {name!r} holds NaN or infinity")
    network.load_state_dict(state)


@lru_cache(maxsize=256)
def model_cost(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> tuple[int, int]:
    """Return (trained parameters, FLOPs of one image's forward pass), without computing anything.

    A multiply-add counts as two FLOPs.
    """
    known = None if spec.classifier else MODELS[spec.name].cifar10_cost.get(spec.stem)
    if known is not None and (classes, channels, image_size) == (10, 3, (32, 32)):
        return known
    return count_cost(spec, classes, channels, image_size)


def count_cost(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> tuple[int, int]:
    """Count what `model_cost` returns on a network without memory."""
    # It brings a compiler along, which takes a quarter of a second that few commands need.
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad():
        check_model(spec, image_size)
        network = _built(spec, classes, channels, image_size).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            network(torch.empty(1, channels, *image_size))
    parameters = sum(p.numel() for p in network.parameters())
    return parameters, int(counter.get_total_flops())
