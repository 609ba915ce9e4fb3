"""What a method trains and remembers beside the student, found without its memory."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from kdgap.data import Shape
from kdgap.methods import Method, build_method
from kdgap.methods.hyperparameters import deployed_model
from kdgap.models import MODELS
from kdgap.models.build import build_model, check_training, seen_size
from kdgap.models.output import Output
from kdgap.models.taps import Taps
from kdgap.models.unfilled import Unfilled
from kdgap.planning.devices import check_shared
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec


@dataclass(frozen=True)
class Sizes:
    """Bytes of what a method has beside the student.

    Attributes:
        trained: of the trained parts.
        remembered: of the rest in memory, such as CRD's memories.
        saved: of the rest in a saved state.
    """

    trained: int = 0
    remembered: int = 0
    saved: int = 0


def part_sizes(
    run: RunSpec, channels: int, image_size: tuple[int, int], classes: int, labels: Tensor
) -> Sizes:
    """Return how large a method's parts are: what `build` makes, with nothing computed.

    Args:
        run: the run.
        channels, image_size, classes: of its images.
        labels: int64 `[N]`, of the training images.

    Raises:
        BadInputError: the loss is not defined on these data, or cannot be built, or the network
            cannot be trained; it says why.
    """
    method = build_method(run.method.name, run.method.parameters)
    method.check_data(classes, len(labels), run.recipe.batch_size)
    check_shared(run, len(labels), channels, image_size, classes)
    if MODELS[run.model.name].anatomy is not None:
        check_training(run.model, classes, channels, image_size)
    if run.teacher is None:
        return Sizes()
    # What is not ours is asked for what the method reads, whatever it says of itself.
    adapted = any(MODELS[model.name].anatomy for model in (run.model, run.teacher.model))
    if type(method).build is Method.build and not adapted:
        return Sizes()

    images = classes, channels, image_size
    own = _answer(deployed_model(run), method.student_taps, *images)
    other = _answer(run.teacher.model, method.teacher_taps, *images)
    with torch.device("meta"), Unfilled():
        parts = method.build(own, other, labels)

    def size(tensors: Iterable[Tensor]) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    trained, saved = size(parts.parameters()), size(parts.state_dict().values())
    return Sizes(trained, size(parts.buffers()), saved - trained)


_STAGES: dict[Hashable, tuple[str, ...]] = {}
_ANSWERS: dict[Hashable, Output] = {}
"""Of networks that a plan has met: a grid has many runs of the same two."""


def _answer(
    model: ModelSpec,
    taps: Callable[[tuple[str, ...]], Taps],
    classes: int,
    channels: int,
    image_size: tuple[int, int],
) -> Output:
    """Return what a fresh network answers an image with, with what is asked for of its stages."""
    place = model, classes, channels, image_size
    stages = _STAGES.get(place)
    if stages is None or (place, taps(stages)) not in _ANSWERS:
        network = build_model(model, classes, channels, image_size, 0).eval()
        stages = _STAGES[place] = network.stages
        size = seen_size(model, image_size)
        with torch.no_grad():
            # Not blank, of which many networks make zeros before they are trained: what is not
            # ours is looked at here as to whether its map is averaged.
            image = torch.linspace(-2, 2, channels * size[0] * size[1]).view(1, channels, *size)
            _ANSWERS[place, taps(stages)] = network(image, taps(stages))
    return _ANSWERS[place, taps(stages)]


def evenest(per_class: tuple[int, ...], images: int, classes: int) -> Tensor:
    """Return labels of so many images with the largest class as small as it can be, int64 `[N]`.

    Args:
        per_class: images that each class has at most; empty = not known.
        images: how many labels to return.
        classes: number of classes.
    """
    if sum(per_class) < images:
        return torch.arange(images) % classes
    most = 0  # that a class keeps: the smallest bound with which there are enough
    step = 1 << max(per_class, default=0).bit_length()
    while step := step // 2:
        if sum(min(count, most + step) for count in per_class) < images:
            most += step
    kept = torch.tensor([min(count, most + 1) for count in per_class], dtype=torch.int64)
    return torch.arange(len(per_class)).repeat_interleave(kept)[:images]


_KNOWN: dict[Hashable, Sizes] = {}


def planned_sizes(run: RunSpec, shape: Shape, images: int) -> Sizes:
    """Return `part_sizes` before the data are there: for classes as even as they can be.

    How many training images a class has is known only before validation images are drawn from
    them. What is refused for the evenest training images that may be left is refused for all.

    Args:
        run: the run; others that differ by seed or recipe cost nothing more.
        shape: of its data.
        images: number of training images.
    """
    method, teacher = run.method, run.teacher and run.teacher.model
    parameters = tuple(sorted(method.parameters.items()))
    split = run.devices, run.batch_norm, run.place.devices
    key = (run.model, teacher, method.name, parameters, shape, images, run.recipe.batch_size, split)
    if key not in _KNOWN:
        labels = evenest(shape.per_class, images, shape.classes)
        size = shape.image_size
        _KNOWN[key] = part_sizes(run, shape.channels, size, shape.classes, labels)
    return _KNOWN[key]
