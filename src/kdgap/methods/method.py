"""What a distillation method is: hyper-parameters as fields, and one function from outputs to loss.

A method is a frozen dataclass in a file of its own. Its fields are validated by pydantic from
their annotations, and the same annotations feed grids, help and reports. The engine trains

    kd * sum(weight * value over the method's terms) + ce * cross-entropy

where kd and ce are the method's `weights` in an epoch, so a method computes its distillation terms
and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field

from kdgap.deferred import nn, torch
from kdgap.methods.shared import wide
from kdgap.models.taps import NOTHING, Taps
from kdgap.registry import Registry
from kdgap.spec.flat import FlatConfig
from kdgap.spec.method_card import UNKNOWN, MethodCard
from kdgap.spec.slot import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.model import ModelSpec
    from kdgap.spec.validation import Scalar

STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
Alpha = Annotated[float, Field(ge=0, le=1, description="weight of the distillation loss")]
Temperature = Annotated[
    float, Field(gt=0, le=1000, description="softens both distributions; 1 = as they are")
]
CrossEntropyWeight = Annotated[
    float, Field(ge=0, le=1e6, description="weight of the cross-entropy with the labels")
]
WEIGHS = "weighs a term of the loss"  # marks what clipping undoes where it is large
Weight = Annotated[
    float, Field(ge=0, le=1e6, description="weight of the distillation loss"), WEIGHS
]
Share = Annotated[float, Field(ge=0, le=1, description="a share of one")]
Epochs = Annotated[
    int, Field(ge=0, le=100_000, description="epochs over which the loss is warmed up; 0 = none")
]


@dataclass(frozen=True)
class Term:
    """One part of a distillation loss: a scalar mean over the batch, and its weight.

    Attributes:
        of_labels: whether it looks at labels and no teacher, as cross-entropies do.
    """

    weight: float
    value: Tensor
    of_labels: bool = False


@dataclass(frozen=True)
class Step:
    """What a loss may know of a step besides the networks' answers.

    Attributes:
        labels: int64 `[B]`.
        indices: places of the images in the training set, int64 `[B]`.
        epoch, epochs: how far training is, counted from 0, and how long it is.
        seed: the address of what is drawn in this step; see `generator`.
        strong: what student and teacher answer to a second view of the images, more augmented; None
            for methods of one view.
    """

    labels: Tensor
    indices: Tensor
    epoch: int = 0
    epochs: int = 1
    seed: int = 0
    strong: tuple[Output, Output] | None = None

    def generator(self) -> torch.Generator:
        """Return a generator on the CPU that draws the same in this step of this run, always."""
        return torch.Generator().manual_seed(self.seed)


class Method:
    """Base of all methods; a method is a frozen dataclass that inherits from it.

    Class attributes:
        name, label: what it is called in configurations, and in tables and figures.
        colour: its place among the colours of figures; None = the next that is free.
        examples: hyper-parameters that its laws are tried with: each field but `alpha` at two
            values. With `zero_at_equality`, none of them may make the loss vanish altogether.
        summary, citation: one line for listings; the paper.
        mixes: the hyper-parameter that shares one weight between the terms and the cross-entropy.
        soft_targets: the hyper-parameter at whose temperature the teacher's probabilities are the
            targets; None if they are not.
        views: how many views of an image a step looks at: 1, or 2 with a stronger one.
        needs_teacher: whether it looks at a teacher at all.
        has_projections: whether `build` returns trainable parts.
        deploys_another: whether what is trained and tested is another network than the student.
        undecayed: ends of the names of trained parts that weight decay leaves alone.
        neutral: field → the value at which the method is as it was before it had the field. There
            it is left out of `parameters`, so that ids of older runs do not move.
        steered: ends of the names of trained parts whose gradient is not that of the loss, for the
            method multiplies it.
        zero_at_equality: whether the loss vanishes when student and teacher agree exactly (and
            trained parts, if any, are the identity).
        zero_at_equality_to: how near to zero, where the formula itself has a small constant.
        flat_names: flat configuration key → field, where they differ. All methods' keys stand in
            one flat file beside those of a run, so a key of one method's own begins with its name
            (`dkd_beta`), and keys that several share mean the same (`alpha`), in one annotation.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    citation: ClassVar[str]
    views: ClassVar[int] = 1
    needs_teacher: ClassVar[bool] = True
    has_projections: ClassVar[bool] = False
    deploys_another: ClassVar[bool] = False
    undecayed: ClassVar[tuple[str, ...]] = ()
    steered: ClassVar[tuple[str, ...]] = ()
    zero_at_equality: ClassVar[bool] = False
    zero_at_equality_to: ClassVar[float] = 1e-12
    mixes: ClassVar[str | None] = None
    soft_targets: ClassVar[str | None] = None
    colour: ClassVar[int | None] = None
    flat_names: ClassVar[Mapping[str, str]] = {}
    neutral: ClassVar[Mapping[str, Scalar]] = {}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({},)

    @property
    def ce_weight(self) -> float:
        """Weight of the cross-entropy with the labels; most methods have a field of this name."""
        return 1.0

    def scale(self, epoch: int, epochs: int) -> float:
        """Return the share in [0, 1] of the method's terms in an epoch, counted from 0.

        A pure function, so that nothing has to be kept for a run that goes on later.
        """
        return 1.0

    def weights(self, epoch: int, epochs: int) -> tuple[float, float]:
        """Return what the terms and the cross-entropy are multiplied by in an epoch."""
        return self.scale(epoch, epochs), self.ce_weight

    @classmethod
    def about(cls) -> MethodCard:
        """Return what is kept beside plans and imports, for whoever reads them without torch."""
        return MethodCard(
            label=cls.label,
            colour=cls.colour,
            summary=cls.summary,
            citation=cls.citation,
            hyperparameters=field_names(cls),
            flat={name: flat for flat, name in cls.flat_names.items()},
            soft_targets=cls.soft_targets,
            mixes=cls.mixes,
        )

    def parameters(self) -> dict[str, Scalar]:
        """Return every hyper-parameter by field name, but those at their neutral value."""
        values = {name: getattr(self, name) for name in field_names(type(self))}
        return {k: v for k, v in values.items() if k not in self.neutral or v != self.neutral[k]}

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Return what the loss reads of a student with these stages, besides logits."""
        return NOTHING

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Return what the loss reads of a teacher with these stages, besides logits."""
        return NOTHING

    def deployed(self, student: ModelSpec, teacher: ModelSpec | None) -> ModelSpec:
        """Return what is trained, validated, kept, tested and counted: the student itself."""
        return student

    def check_stages(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> None:
        """Refuse two networks by the names of their stages, before anything is loaded.

        Raises:
            BadInputError: the method cannot compare them; say why and what to choose.
        """

    def pairs(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return which stages are compared where their numbers may differ; `run.json` has them."""
        return []

    def decays(self, name: str) -> bool:
        """Return whether weight decay reaches a trained part of this name."""
        return not name.endswith(self.undecayed)

    def soft_logits(self, teacher: Output) -> Tensor | None:
        """Return the teacher's logits over their temperature where these are the targets."""
        if self.soft_targets is None:
            return None
        softened: Tensor = wide(teacher.logits) / getattr(self, self.soft_targets)
        return softened

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the trained parts and other state, with torch's current random state.

        Args:
            student, teacher: what each answers to one image, for its shapes.
            labels: int64 `[N]` of all training images.
        """
        return nn.Module()

    def vanishes_at_equality(self) -> bool:
        """Return `zero_at_equality` of the class, or false where a hyper-parameter undoes it."""
        return self.zero_at_equality

    def depends_on_order(self) -> bool:
        """Whether the loss depends on the order of the images in a batch."""
        return False

    def compares_images(self) -> bool:
        """Whether the loss is more than a mean over what each image of a batch gives alone."""
        return False

    def check_data(self, classes: int, images: int, batch_size: int) -> None:
        """Refuse data that the loss is not defined on.

        Args:
            classes, images, batch_size: numbers of classes, training images, and images a step.

        Raises:
            BadInputError: it is not; say why and what to choose.
        """

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the parts of the distillation loss by name.

        Args:
            student: logits `[B, C]` and what was asked for; carries gradients.
            teacher: the same of the teacher; carries none.
            step: labels and the place in training.
            parts: what `build` returned.
        """
        raise NotImplementedError

    def update_state(self, student: Output, teacher: Output, step: Step, parts: nn.Module) -> None:
        """Change state that gradients do not reach: buffers of the parts, once a step taken.

        Called without gradients, before the optimiser moves anything: the answers and the trained
        parts are those that the loss was computed from.
        """


class Mixed(Method):
    """Base of methods that share one weight between the terms and the cross-entropy: `alpha`."""

    mixes: ClassVar[str | None] = "alpha"
    alpha: float

    @property
    def ce_weight(self) -> float:
        """Return 1 − alpha."""
        return 1 - self.alpha

    def weights(self, epoch: int, epochs: int) -> tuple[float, float]:
        """Scale alpha: what the terms lose the cross-entropy gets."""
        alpha = self.alpha * self.scale(epoch, epochs)
        return alpha, 1 - alpha


class Methods(Registry[type[Method]]):
    """The registered methods; `crd+logit` stands for several in one run.

    Attributes:
        combine: makes a class of such a name; `combination.py` sets it.
    """

    combine: Callable[[str], type[Method]]

    def __getitem__(self, name: str) -> type[Method]:
        return self.combine(name) if "+" in name else super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str) and "+" in name:
            names = list(filter(None, name.split("+")))
            fit = bool(names) and len(set(names)) == len(names) and PLAIN not in names
            return fit and all(map(super().__contains__, names))
        return super().__contains__(name)


METHODS = Methods("method")


C = TypeVar("C", bound=type[Any])


def method(cls: C) -> C:
    """Enter a method class in the registry under its `name`.

    Raises:
        ValueError: a hyper-parameter is called as a key of every run is, and would take its values,
            or as another method's that takes other values.
    """
    own = flat_fields(cls)
    for key in sorted(own.keys() & FlatConfig.model_fields.keys()):
        raise ValueError(
            f"method {cls.name!r}: {key} is a key of every run; give the hyper-parameter"
            " another flat key in flat_names"
        )
    for name, other in METHODS.items():
        theirs = flat_fields(other)
        for key in sorted(own.keys() & theirs.keys()):
            if _range(cls, own[key]) != _range(other, theirs[key]):
                raise ValueError(
                    f"method {cls.name!r}: {key} has another type or range than method {name!r}"
                    " gives it; take its annotation, or another flat key in flat_names"
                )
    METHODS.register(cls.name)(cls)
    return cls


def card_of(name: str, method: str) -> MethodCard:
    """Return what a method says of itself, under a study's own name for it if it has one."""
    card = METHODS[method].about() if method in METHODS else UNKNOWN
    return card if name == method or name in METHODS else card.named(name, method)


def field_names(cls: type[Method]) -> list[str]:
    """Return every hyper-parameter of a method by its field."""
    return [f.name for f in fields(cls)]  # type: ignore[arg-type]  # every method is a dataclass


def flat_fields(cls: type[Method]) -> dict[str, str]:
    """Return flat configuration key → field name, for every hyper-parameter of a method."""
    renamed = {name: flat for flat, name in cls.flat_names.items()}
    return {renamed.get(name, name): name for name in field_names(cls)}


def _range(cls: type[Method], name: str) -> tuple[Any, list[Any]]:
    """Return what values a hyper-parameter takes: its type and its bounds."""
    declared = cls.__pydantic_fields__[name]  # type: ignore[attr-defined]
    return declared.annotation, declared.metadata
