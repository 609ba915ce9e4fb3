"""Somebody else's network behind our interface: its modules stay as they are, and are looked at."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kdgap.errors import BadInputError, nearest, one_line
from kdgap.models.entry import Anatomy
from kdgap.models.kept_layout import pixel_mean
from kdgap.models.output import Affine, Network, Output
from kdgap.models.taps import NOTHING, Taps
from kdgap.models.unfilled import Unfilled
from kdgap.spec.model import Architecture, Modules

_INNER = "inner."


@dataclass(frozen=True)
class Reading:
    """Where inner values of a network are, as paths of its modules.

    Attributes:
        stages: what makes the feature maps, first to last.
        pooled: what makes the map that is averaged before the classifier.
        embedding: what makes the embedding; None = what the classifier gets.
        classifier: the linear layer that makes the logits.
        last_channels: whether maps of stages are `[B, H, W, D]`.
    """

    stages: tuple[str, ...] = ()
    pooled: str | None = None
    embedding: str | None = None
    classifier: str | None = None
    last_channels: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names."""
        return tuple(f"stage{number}" for number in range(1, len(self.stages) + 1))

    def anatomy(self) -> Anatomy:
        """Return what a network that is read so has and lacks."""
        lacks = {
            "maps": not self.stages,
            "pooled": self.pooled is None,
            "embedding": self.embedding is None and self.classifier is None,
            "classifier": self.classifier is None,
        }
        missing = [kind for kind, is_so in lacks.items() if is_so]
        return Anatomy(self.names, ("before_relu", "norms", *missing))


class AdaptedNetwork(Network):
    """A network that is not ours; its state has the names that its own code gives.

    Args:
        name: what it is called, for messages.
        inner: images `[B, C, H, W]` → logits `[B, classes]`.
        reading: where its inner values are.
    """

    folds_batch_norm = False

    def __init__(self, name: str, inner: nn.Module, reading: Reading) -> None:
        super().__init__()
        self.name, self.inner, self.reading = name, inner, reading
        self.stages = reading.names
        self._averages: bool | None = None
        self.register_state_dict_post_hook(_without_inner)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_inner)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        if not taps.kinds:
            return Output(self._logits(self.inner(images)))
        logits, kept = self._looked_at(images, taps)
        features = {stage: self.as_map(kept[stage]) for stage in taps.maps}
        embedding = kept.get("embedding")
        if embedding is not None and embedding.ndim > 2:
            embedding = embedding.flatten(1)
        pooled = kept.get("pooled") if taps.pooled else None
        if pooled is not None:
            pooled = self.as_map(pooled)
            self._check_average(pooled, embedding)
        return Output(
            logits,
            features,
            {},
            embedding if taps.embedding else None,
            *self.parameters_of(taps),
            self.stages,
            pooled=pooled,
        )

    def _looked_at(self, images: Tensor, taps: Taps) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, and by its name what else `taps` asks for."""
        reading, kept = self.reading, dict[str, Tensor]()
        paths = dict(zip(self.stages, reading.stages, strict=True))
        outputs = {stage: paths[stage] for stage in taps.maps}
        if taps.pooled and reading.pooled is not None:
            outputs["pooled"] = reading.pooled
        looks = taps.embedding or taps.pooled
        if looks and reading.embedding is not None:
            outputs["embedding"] = reading.embedding
        with ExitStack() as stack:
            for key, path in outputs.items():
                module = self.inner.get_submodule(path)
                handle = module.register_forward_hook(partial(_keep_output, kept, key))
                stack.callback(handle.remove)
            if looks and "embedding" not in outputs and reading.classifier is not None:
                module = self.inner.get_submodule(reading.classifier)
                handle = module.register_forward_pre_hook(partial(_keep_input, kept, "embedding"))
                stack.callback(handle.remove)
            logits = self._logits(self.inner(images))
        return logits, kept

    def as_map(self, x: Any) -> Tensor:
        """Return what a stage makes as `[B, D, H, W]`; tokens `[B, N, D]` as a square of them.

        Tokens that stand before the square, such as a class token, are left out.

        Raises:
            BadInputError: it is neither.
        """
        if isinstance(x, Tensor) and x.ndim == 4:
            return x.permute(0, 3, 1, 2) if self.reading.last_channels else x
        if isinstance(x, Tensor) and x.ndim == 3:
            side = math.isqrt(x.shape[1])
            tokens = x[:, x.shape[1] - side * side :]
            return tokens.transpose(1, 2).reshape(len(x), x.shape[2], side, side)
        raise BadInputError(
            f"{self.name}: a stage makes {_described(x)}, expected maps [B, D, H, W] or tokens"
            " [B, N, D]; name other modules"
        )

    def _logits(self, answer: Any) -> Tensor:
        if not isinstance(answer, Tensor) or answer.ndim != 2:
            raise BadInputError(
                f"{self.name}: answers with {_described(answer)}, expected logits [B, classes]"
            )
        return answer

    def _check_average(self, pooled: Tensor, embedding: Tensor | None) -> None:
        """Refuse a map whose mean the classifier does not get; looked at once.

        Not in training, where dropout may stand between them, and not on a map of zeros, which many
        a network makes of a blank image before it is trained.
        """
        if self._averages is None and not (self.training or pooled.is_meta):
            mean = pixel_mean(pooled.detach())
            if not mean.any():
                return
            self._averages = (
                embedding is not None
                and mean.shape == embedding.shape
                and torch.allclose(mean, embedding.detach().float(), rtol=0.05, atol=1e-3)
            )
        if self._averages is False:
            raise BadInputError(
                f"{self.name}: its classifier does not get the mean of its last map over pixels,"
                " which the method reads; choose another network or method"
            )

    def drop_classifier(self) -> int:
        """See `Network.drop_classifier`."""
        path = self.reading.classifier
        assert path is not None
        linear = self.inner.get_submodule(path)
        assert isinstance(linear, nn.Linear)
        # What looks at the classifier's input goes on to do so.
        self.inner.set_submodule(path, nn.Identity())
        return linear.in_features

    def parameters_of(self, taps: Taps) -> tuple[Affine | None, dict[str, Affine]]:
        """See `Network.parameters_of`."""
        if not taps.classifier:
            return None, {}
        assert self.reading.classifier is not None
        linear = self.inner.get_submodule(self.reading.classifier)
        assert isinstance(linear, nn.Linear)
        bias: Tensor | None = linear.bias
        if bias is None:  # torch says that there always is one
            bias = linear.weight.new_zeros(linear.out_features)
        return (linear.weight, bias), {}


def _keep_output(kept: dict[str, Tensor], key: str, _: nn.Module, _given: Any, answer: Any) -> None:
    kept[key] = answer


def _keep_input(kept: dict[str, Tensor], key: str, _: nn.Module, given: Any) -> None:
    kept[key] = given[0]


def _without_inner(_: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    # All are taken out first: the network may have an `inner` of its own, whose new names are old
    # names of others.
    before = prefix + _INNER
    own = {key: state.pop(key) for key in list(state) if key.startswith(before)}
    state.update({prefix + key.removeprefix(before): value for key, value in own.items()})


def _with_inner(_: nn.Module, state: dict[str, Any], prefix: str, *_rest: object) -> None:
    own = {key: state.pop(key) for key in list(state) if key.startswith(prefix)}
    state.update({prefix + _INNER + key.removeprefix(prefix): own[key] for key in own})


def _described(x: object) -> str:
    if isinstance(x, Tensor):
        return f"a tensor {list(x.shape)}"
    return f"an object of type {type(x).__name__}"


def find_classifier(inner: nn.Module, classes: int) -> str | None:
    """Return the path of the last linear layer with one output a class; None without one."""
    layers = [
        path
        for path, module in inner.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == classes
    ]
    return layers[-1] if layers else None


def with_modules(name: str, inner: nn.Module, reading: Reading, named: Modules | None) -> Reading:
    """Return a reading with the modules that the user names in place of what was found.

    Raises:
        BadInputError: a path leads to no module, or that of the classifier to no linear layer.
    """
    if named is None:
        return reading
    known = [path for path, _ in inner.named_modules() if path]
    paths = [*(named.stages or ()), named.pooled, named.embedding, named.classifier]
    for path in paths:
        if path is not None and path not in known:
            raise BadInputError(f"{name} has no module {path!r}{nearest(path, known)}", "modules")
    if named.classifier is not None:
        layer = inner.get_submodule(named.classifier)
        if not isinstance(layer, nn.Linear):
            raise BadInputError(
                f"{name}: {named.classifier!r} is a {type(layer).__name__}, expected a torch.nn"
                " Linear as the classifier",
                "modules",
            )
    given = named.model_dump(exclude_none=True)
    if "stages" in given:
        given |= {"stages": tuple(given["stages"]), "last_channels": False}
    return replace(reading, **given)


def checked_arguments(
    name: str, arguments: Mapping[str, Any], ours: Mapping[str, str]
) -> dict[str, Any]:
    """Return arguments for the maker of a network; refuse those that are not the user's to give.

    Args:
        name: the network.
        arguments: as given.
        ours: argument → what to do instead.

    Raises:
        BadInputError: naming the argument.
    """
    for key, instead in ours.items():
        if key in arguments:
            raise BadInputError(
                f"{name}: {key} is no argument to give here; {instead}", "arguments"
            )
    return dict(arguments)


def anatomy_of(
    build: Callable[[Architecture, int, int], AdaptedNetwork], model: Architecture
) -> Anatomy:
    """Return what can be read of a network that `build` makes, without memory where it can be."""
    try:
        with torch.device("meta"), Unfilled():
            return build(model, 10, 3).reading.anatomy()
    except BadInputError:  # some look at their own numbers while they are built
        with torch.random.fork_rng(devices=[]):
            return build(model, 10, 3).reading.anatomy()


def network_from(name: str, make: Callable[[], object]) -> nn.Module:
    """Return the network that `make` returns; what it raises becomes one line.

    Raises:
        BadInputError: it raises, or returns something else.
    """
    try:
        network = make()
    except BadInputError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  (code that is not ours)
        raise BadInputError(f"{name} cannot be built: {said_by(error)}") from None
    if not isinstance(network, nn.Module):
        raise BadInputError(f"{name}: makes {_described(network)}, expected a torch.nn.Module")
    return network


def said_by(error: BaseException) -> str:
    """Return what code that is not ours raised, as one line; a call of `exit` is named as such."""
    if isinstance(error, SystemExit):
        code = one_line(error, 200) if error.code is not None else ""
        return f"it ends the program, with exit({code})"
    # The kind, too: what a KeyError says alone is no more than a word.
    words = one_line(error, 200)
    return f"{type(error).__name__}{': ' if words else ''}{words}"
