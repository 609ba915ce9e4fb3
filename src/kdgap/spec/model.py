"""`ModelSpec`: what a network is built from, and how it sees images."""

from functools import cache
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kdgap.spec.validation import Scalar, Sha256, Strict, Text
from kdgap.text import settings_text

Stem = Literal["cifar", "imagenet"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]

_NONE_IS_NEUTRAL: dict[str, Any] = {"neutral": None}


class Modules(Strict):
    """Where inner values of a network are: paths of its modules, as torch's `named_modules` says.

    Attributes:
        stages: what makes the feature maps, first to last; None = as the family says.
        pooled: what makes the map whose mean over pixels is the embedding, if anything does.
        embedding: what makes the embedding; None = what the classifier gets.
        classifier: the linear layer that makes the logits; None = as the family says.
    """

    stages: list[Text] | None = Field(default=None, min_length=1, max_length=1000)
    pooled: Text | None = None
    embedding: Text | None = None
    classifier: Text | None = None


class InputSpec(Strict):
    """How a network sees images, where that is not as the data has them.

    Attributes:
        size: side in pixels that images are resized to; None = as they are.
        mean, std: normalisation by channel, for pixels in [0, 1]; None = the data's.
        interpolation: how they are resized, with antialiasing.
    """

    size: int | None = Field(default=None, ge=4, le=4096)
    mean: list[float] | None = Field(default=None, min_length=1, max_length=1024)
    std: list[float] | None = Field(default=None, min_length=1, max_length=1024)
    interpolation: Interpolation = "bilinear"

    @model_validator(mode="after")
    def _both_moments(self) -> "InputSpec":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together; give both")
        if self.mean is not None and self.std is not None:
            if len(self.mean) != len(self.std):
                raise ValueError("mean and std are one number a channel each")
            if min(self.std) <= 0:
                raise ValueError("std: a deviation is above 0")
            if not all(0 <= number <= 1 for number in (*self.mean, *self.std)):
                raise ValueError("mean and std are of pixels in [0, 1]; divide by 255")
        return self


class Architecture(Strict):
    """What a network is built from.

    Attributes:
        name: a network of ours, `torchvision:NAME`, `timm:NAME`, or `package.module:factory`.
        stem: of ResNets, for small (`cifar`) or large images.
        width: multiplies the channels of the CIFAR ResNets; the rest have width 1.
        shortcut: of the CIFAR ResNets (He et al. 2016, section 4.1): `A` pads with zeros, `B`
            projects by a 1x1 convolution, as most distillation code does.
        arguments: what the maker of the network is called with, such as `{img_size: 32}`.
        modules: where its inner values are, for networks that are not ours.
    """

    name: Text
    stem: Stem = "cifar"
    width: float = Field(default=1.0, gt=0, le=16)
    shortcut: Literal["A", "B"] = Field(default="A", json_schema_extra={"neutral": "A"})
    arguments: dict[Text, Scalar | list[Scalar]] = Field(
        default_factory=dict, max_length=100, json_schema_extra={"neutral": {}}
    )
    modules: Modules | None = Field(default=None, json_schema_extra=_NONE_IS_NEUTRAL)

    @field_validator("modules", "input", mode="after", check_fields=False)
    @classmethod
    def _nothing_said(cls, value: Any) -> Any:
        # `input: {}` is no input, so it makes no other id.
        return None if value is not None and value == type(value)() else value

    def __hash__(self) -> int:  # pydantic's own cannot hash a mapping
        return hash((self.name, self.stem, self.width, self.shortcut))

    def described(self) -> str:
        """Return what it is built from, in words, such as `resnet8, width 0.25, cifar stem`."""
        fields = self.model_dump(exclude={"name", "stem", "width", "classifier"}, exclude_none=True)
        more = [f", {name} {_in_words(value)}" for name, value in fields.items()]
        return f"{self.name}, width {self.width:g}, {self.stem} stem{''.join(more)}"

    def architecture(self) -> dict[str, Any]:
        """Return the fields that a network is built from."""
        return {name: getattr(self, name) for name in Architecture.model_fields}

    @model_serializer(mode="wrap")
    def _neutral_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that cards, records and locked studies stay what they were before a field came.
        fields: dict[str, Any] = plain(self)
        for name, neutral in _neutral_of(type(self)):
            if getattr(self, name) == neutral:
                fields.pop(name, None)  # some dumps leave out what is None by themselves
        return fields


def _in_words(value: Any) -> str:
    return f"({settings_text(value)})" if isinstance(value, dict) else str(value)


@cache
def _neutral_of(model: type[Architecture]) -> list[tuple[str, Any]]:
    extras = [(name, info.json_schema_extra) for name, info in model.model_fields.items()]
    return [(name, extra["neutral"]) for name, extra in extras if isinstance(extra, dict)]


class ClassifierOf(Architecture):
    """Another network whose trained classifier is taken over, behind a trained connector.

    Attributes:
        factor: the connector's middle is as wide as that network's last map, over this.
        size: side in pixels of the images that that network sees, where it has an input of its own.
    """

    factor: int = Field(default=2, ge=1, le=1024)
    size: int | None = Field(default=None, ge=4, le=4096, json_schema_extra=_NONE_IS_NEUTRAL)


class ModelSpec(Architecture):
    """A network of a run.

    Attributes:
        input: how it sees images; None = as the data has them.
        code: SHA-256 of the file that a factory of the user's own is in; found, not asked for.
        classifier: None = its own.
    """

    input: InputSpec | None = Field(default=None, json_schema_extra=_NONE_IS_NEUTRAL)
    code: Sha256 | None = Field(default=None, json_schema_extra=_NONE_IS_NEUTRAL)
    classifier: ClassifierOf | None = Field(default=None, json_schema_extra=_NONE_IS_NEUTRAL)

    def described(self) -> str:
        """See `Architecture.described`."""
        taken = self.classifier
        behind = "" if taken is None else f", with the classifier of a {taken.described()}"
        return super().described() + behind
