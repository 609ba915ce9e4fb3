"""Networks from specifications: checked, initialised at an address, and counted."""

import math
from contextlib import suppress
from functools import lru_cache

import torch
from torch import Tensor

from kdgap.errors import BadInputError, TeacherError, nearest, one_line
from kdgap.models.entry import MODELS, ModelEntry
from kdgap.models.multiplied import Multiplied
from kdgap.models.output import Network
from kdgap.models.reused import ReusedClassifier
from kdgap.models.taps import Taps
from kdgap.models.unfilled import Unfilled
from kdgap.spec.model import Architecture, ModelSpec


def build_model(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int], init_seed: int
) -> Network:
    """Build a network with freshly initialised weights.

    Args:
        spec: architecture, stem and width.
        classes: number of classes, at least 2.
        channels: colour channels of the images.
        image_size: height and width of the data's images in pixels; a network with an `input` of
            its own may see others.
        init_seed: the address of the initialisation; the global random state is left alone.

    Raises:
        BadInputError: the architecture has no such stem or width, or the images are too small.
    """
    image_size = seen_size(spec, image_size)
    check_model(spec, image_size)
    if classes < 2:
        raise BadInputError(f"{spec.name}: needs at least 2 classes, got {classes}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)
        return _built(spec, classes, channels, image_size)


def seen_size(spec: ModelSpec, image_size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the images that a network gets."""
    own = spec.input.size if spec.input else None
    return image_size if own is None else (own, own)


def _built(spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]) -> Network:
    network, taken = MODELS[spec.name].build(spec, classes, channels), spec.classifier
    if taken is None:
        return network
    seen = image_size if taken.size is None else (taken.size, taken.size)
    with torch.device("meta"), Unfilled(), torch.no_grad():
        teacher = MODELS[taken.name].build(taken, classes, channels).eval()
        answer = teacher(torch.empty(1, channels, *seen), Taps(pooled=True))
    assert answer.pooled is not None
    return ReusedClassifier(network, answer.pooled, classes, taken.factor)


def check_model(spec: Architecture, image_size: tuple[int, int] | None = None) -> ModelEntry:
    """Check a specification before anything is built; see `build_model` for the errors."""
    if isinstance(spec, ModelSpec):
        if (taken := spec.classifier) is not None:
            own = image_size if taken.size is None else (taken.size, taken.size)
            check_model(taken, image_size and own)
        image_size = image_size and seen_size(spec, image_size)
    entry = MODELS[spec.name]
    if spec.stem not in (entry.stems or ("cifar",)):
        has = repr(entry.stems[0]) if entry.stems else "none to choose"
        raise BadInputError(f"{spec.name} has no {spec.stem!r} stem; it has {has}", "stem")
    if spec.shortcut not in entry.shortcuts:
        raise BadInputError(
            f"{spec.name} has no shortcut {spec.shortcut!r}; leave shortcut out", "shortcut"
        )
    _check_arguments(spec, entry)
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
    smallest = entry.total_stride.get(spec.stem, 1)
    if image_size is not None and min(image_size) < smallest:
        height, size = image_size
        raise BadInputError(
            f"{spec.name} with the {spec.stem} stem shrinks its input {smallest} times:"
            f" images of {height}x{size} pixels are too small"
        )
    if image_size is not None and entry.anatomy is not None:
        _try(ModelSpec(**spec.architecture()), image_size)
    return entry


def _check_arguments(spec: Architecture, entry: ModelEntry) -> None:
    if entry.takes_arguments:
        return
    if spec.modules or (spec.arguments and not entry.shares):
        key = "modules" if spec.modules else "arguments"
        raise BadInputError(f"{spec.name} takes no {key}; leave them out", key)
    for key, value in spec.arguments.items():
        if key not in entry.shares:
            raise BadInputError(
                f"{spec.name} takes no argument {key!r}{nearest(key, entry.shares)}; it takes"
                f" {', '.join(entry.shares)}",
                "arguments",
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise BadInputError(
                f"{spec.name}: {key} is a share from 0 to below 1, got {value!r:.60}", "arguments"
            )


@lru_cache(maxsize=256)
def _try(spec: ModelSpec, image_size: tuple[int, int]) -> None:
    """Refuse a network that is not ours and does not answer images of a size with logits.

    Raises:
        BadInputError: with what its own code says.
    """
    with torch.no_grad():
        network, device = unallocated(spec, 10, 3, image_size)
        try:
            answer = network.eval()(torch.zeros(1, 3, *image_size, device=device))
        except BadInputError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  (code that is not ours)
            height, width = image_size
            refuse_own_code(spec, (3, height, width), error)
            raise BadInputError(
                f"{spec.name} does not take images of {height}x{width} pixels"
                f" ({one_line(error, 160)}); give it arguments that fit, such as"
                f" {{img_size: {height}}}, or an input of its own: {{size: 224}}"
            ) from None
    if answer.logits.shape != (1, 10):
        raise BadInputError(
            f"{spec.name}: answers an image with {list(answer.logits.shape)[1:]} numbers, expected"
            " one for each class"
        )


@lru_cache(maxsize=256)
def check_training(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> None:
    """Refuse a network that is not ours and answers in training with more than logits, or not.

    Some have auxiliary classifiers then, as torchvision's GoogLeNet.

    Args:
        spec: the network.
        classes, channels, image_size: of the data.

    Raises:
        BadInputError: with what its own code says.
    """
    size = seen_size(spec, image_size)
    network, device = unallocated(spec, classes, channels, size)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network.train()(torch.zeros(2, channels, *size, device=device))
    except Exception as error:  # noqa: BLE001  (code that is not ours raises anything)
        raise BadInputError(
            f"{spec.name} cannot be trained as it is ({one_line(error, 160)}); other arguments may"
            " help, such as {aux_logits: false}"
        ) from None


def refuse_own_code(spec: ModelSpec, shape: tuple[int, int, int], error: BaseException) -> None:
    """Say what the user's own code raised; networks of a library are left to the caller.

    A library's code is right, so that the size of the images is wrong; of the user's own code
    nobody knows.

    Args:
        spec: the network.
        shape: of the image `[C, H, W]` that it was asked about.
        error: what came of it.

    Raises:
        BadInputError: the network is of the user's own.
    """
    if MODELS[spec.name].code is None:
        return
    from kdgap.models.adapted import said_by

    raise BadInputError(
        f"{spec.name} fails on an image of {'x'.join(map(str, shape))}: {said_by(error)}; mend its"
        " code, or where it is made for images of another size, give it an input: {size: 224}"
    ) from None


def with_code(spec: ModelSpec) -> ModelSpec:
    """Return a specification that says what the user's own code of it is: part of a run's id.

    Raises:
        BadInputError: the code cannot be imported.
    """
    code = MODELS[spec.name].code
    return spec if code is None else spec.model_copy(update={"code": code()})


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


_SOON_DONE = 3e10
"""Parameters times pixels up to which a network answers an image sooner than torch loads its
compiler, which it does for its counter and for convolutions without memory: seconds."""


@lru_cache(maxsize=256)
def model_cost(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> tuple[int, int]:
    """Return (trained parameters, FLOPs of one image's forward pass), without computing anything.

    A multiply-add counts as two FLOPs.
    """
    known = None if spec.classifier else MODELS[spec.name].cifar10_cost.get(spec.stem)
    image_size = seen_size(spec, image_size)
    changed = spec.arguments or (spec.width, spec.shortcut) != (1.0, "A")
    if known is not None and not changed and (classes, channels, image_size) == (10, 3, (32, 32)):
        return known
    return count_cost(spec, classes, channels, image_size)


def count_cost(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> tuple[int, int]:
    """Count what `model_cost` returns on a network without memory, for images as it gets them."""
    check_model(spec, image_size)
    with torch.no_grad():
        network, device = askable(spec, classes, channels, image_size)
        parameters = sum(p.numel() for p in network.parameters())
        image = torch.zeros(1, channels, *image_size, device=device)
        if MODELS[spec.name].anatomy is None and device == "cpu":
            with Multiplied() as ran:
                network(image)
            if ran.complete:
                return parameters, ran.flops
        from torch.utils.flop_counter import FlopCounterMode  # with a compiler

        with FlopCounterMode(display=False) as counter:
            network(image)
    return parameters, int(counter.get_total_flops())


def askable(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> tuple[Network, str]:
    """Build a network to be asked for shapes and counts; say on which device it answers.

    One of ours has memory, though no numbers in it, where that is sooner done: see `_SOON_DONE`.
    """
    network, device = unallocated(spec, classes, channels, image_size)
    parameters = sum(p.numel() for p in network.parameters())
    ours = MODELS[spec.name].anatomy is None
    if ours and parameters * math.prod(image_size) < _SOON_DONE:
        with Unfilled():
            network, device = _built(spec, classes, channels, image_size), "cpu"
    return network.eval(), device


def unallocated(
    spec: ModelSpec, classes: int, channels: int, image_size: tuple[int, int]
) -> tuple[Network, str]:
    """Build a network without memory, or with where its code needs it; say on which device."""
    with suppress(Exception), torch.device("meta"), Unfilled(), torch.no_grad():
        network = _built(spec, classes, channels, image_size)
        if MODELS[spec.name].anatomy is not None:  # code that is not ours may look at its numbers
            network.eval()(torch.empty(1, channels, *image_size))
        return network, "meta"
    with torch.random.fork_rng(devices=[]):
        return _built(spec, classes, channels, image_size), "cpu"
