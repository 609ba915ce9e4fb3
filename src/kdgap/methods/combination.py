"""Several methods in one run: `crd+logit`, their terms added up beside one cross-entropy.

A combination is a method like any other, made from the names of its members when it is asked for.
Its fields are `ce_weight` and those of the members behind their names, such as `logit_temperature`.
A member's own `ce_weight`, and the `alpha` that shares one weight with the cross-entropy, mean
nothing beside others: instead of these it has a `weight`, unless it has one anyway. The same is
true of a single member, `logit+`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from kdgap.addressing import address
from kdgap.deferred import nn
from kdgap.errors import BadInputError
from kdgap.methods.hyperparameters import field_types
from kdgap.methods.method import (
    METHODS,
    STRICT,
    CrossEntropyWeight,
    Method,
    Mixed,
    Step,
    Term,
    Weight,
    field_names,
)
from kdgap.models.taps import Taps, together
from kdgap.spec.method_name import SEPARATOR, method_name
from kdgap.spec.slot import PLAIN

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.model import ModelSpec


class Combination(Method):
    """Base of all combinations.

    Class attributes:
        members: their classes, in the order of their names.
    """

    members: ClassVar[tuple[type[Method], ...]]

    ce_weight: float

    @cached_property
    def methods(self) -> dict[str, tuple[float, Method]]:
        """Name of a member → what its terms are multiplied by, and the member."""
        built = {}
        for cls in self.members:
            own = _shared_out(cls)
            values = {field: getattr(self, f"{cls.name}_{field}") for field in own}
            if "ce_weight" in field_names(cls):  # a second view's cross-entropy has it, too
                values["ce_weight"] = self.ce_weight
            weight = 1.0 if "weight" in own else getattr(self, f"{cls.name}_weight")
            built[cls.name] = weight, cls(**values)
        return built

    def parameters(self) -> dict[str, Any]:
        """Return every hyper-parameter but those of members that stand at their neutral value."""
        left_out = {
            f"{name}_{field}"
            for name, (_, method) in self.methods.items()
            for field in set(_shared_out(type(method))) - method.parameters().keys()
        }
        return {k: v for k, v in super().parameters().items() if k not in left_out}

    def _taps(
        self, of: Literal["student_taps", "teacher_taps"], stages: tuple[str, ...]
    ) -> dict[str, Taps]:
        """Return what each member reads of one side."""
        return {name: getattr(method, of)(stages) for name, (_, method) in self.methods.items()}

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read what any member reads."""
        return together(self._taps("student_taps", stages).values(), stages)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read what any member reads."""
        return together(self._taps("teacher_taps", stages).values(), stages)

    def _sides(self, student: Output, teacher: Output) -> dict[str, tuple[Output, Output]]:
        """Return to each member what it asked for, and no more."""
        own = self._taps("student_taps", student.stages)
        other = self._taps("teacher_taps", teacher.stages)
        return {name: (student.only(own[name]), teacher.only(other[name])) for name in own}

    def deployed(self, student: ModelSpec, teacher: ModelSpec | None) -> ModelSpec:
        """Return what the one member that changes the student makes of it."""
        for _, method in self.methods.values():
            student = method.deployed(student, teacher)
        return student

    def check_stages(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> None:
        """Refuse what any member refuses."""
        for _, method in self.methods.values():
            method.check_stages(student, teacher)

    def check_data(self, classes: int, images: int, batch_size: int) -> None:
        """Refuse what any member refuses."""
        for _, method in self.methods.values():
            method.check_data(classes, images, batch_size)

    def pairs(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return the pairs of all members, each once."""
        pairs = [pair for _, m in self.methods.values() for pair in m.pairs(student, teacher)]
        return list(dict.fromkeys(pairs))

    def decays(self, name: str) -> bool:
        """Ask the member whose part it is."""
        member, _, part = name.partition(".")
        return self.methods[member][1].decays(part)

    def soft_logits(self, teacher: Output) -> Tensor | None:
        """Return those of the first member that has any."""
        every = (method.soft_logits(teacher) for _, method in self.methods.values())
        return next((logits for logits in every if logits is not None), None)

    def depends_on_order(self) -> bool:
        """Whether any member does."""
        return any(method.depends_on_order() for _, method in self.methods.values())

    def compares_images(self) -> bool:
        """Whether any member does."""
        return any(method.compares_images() for _, method in self.methods.values())

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the parts of all members, each under its name."""
        sides = self._sides(student, teacher)
        return nn.ModuleDict(
            {name: m.build(*sides[name], labels) for name, (_, m) in self.methods.items()}
        )

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the terms of all members, `crd_contrast`; each member draws from its own seed."""
        sides, terms = self._sides(student, teacher), {}
        for name, (weight, method) in self.methods.items():
            weight *= method.scale(step.epoch, step.epochs)
            own = method.terms(*sides[name], _step_of(name, step), parts.get_submodule(name))
            for key, term in own.items():
                terms[f"{name}_{key}"] = replace(term, weight=weight * term.weight)
        return terms

    def update_state(self, student: Output, teacher: Output, step: Step, parts: nn.Module) -> None:
        """Let every member change its own."""
        sides = self._sides(student, teacher)
        for name, (_, method) in self.methods.items():
            own = parts.get_submodule(name)
            method.update_state(*sides[name], _step_of(name, step), own)


def _step_of(name: str, step: Step) -> Step:
    return replace(step, seed=address(step.seed, name))


def _shared_out(cls: type[Method]) -> list[str]:
    """Return the fields of a member that mean something beside others."""
    without = {"ce_weight", *(("alpha",) if issubclass(cls, Mixed) else ())}
    return [name for name in field_names(cls) if name not in without]


@cache
def _combination(names: tuple[str, ...]) -> type[Method]:
    members = tuple(METHODS[name] for name in names)
    fields: dict[str, tuple[Any, Any]] = {"ce_weight": (CrossEntropyWeight, 1.0)}
    for cls in members:
        kinds, declared = field_types(cls), cls.__pydantic_fields__  # type: ignore[attr-defined]
        own = {f"{cls.name}_weight": (Weight, 1.0)}
        own |= {f"{cls.name}_{n}": (kinds[n], declared[n].default) for n in _shared_out(cls)}
        assert not own.keys() & fields.keys(), f"{cls.name}: two members spell a field alike"
        fields |= own
    softened = (f"{cls.name}_{cls.soft_targets}" for cls in members if cls.soft_targets)
    built = type(
        "Combination",
        (Combination,),
        {
            "__module__": __name__,
            "__doc__": f"The terms of {', '.join(names)} beside one cross-entropy.",
            "__annotations__": {name: kind for name, (kind, _) in fields.items()},
            **{name: default for name, (_, default) in fields.items()},
            "members": members,
            "name": method_name(list(names)),
            "label": " + ".join(cls.label for cls in members),
            "summary": f"{' and '.join(names)} in one run",
            "citation": "; ".join(cls.citation for cls in members),
            "views": max(cls.views for cls in members),
            "needs_teacher": any(cls.needs_teacher for cls in members),
            "has_projections": any(cls.has_projections for cls in members),
            "deploys_another": any(cls.deploys_another for cls in members),
            "soft_targets": next(softened, None),
            "zero_at_equality": all(cls.zero_at_equality for cls in members),
        },
    )
    combination: type[Method] = dataclass(frozen=True, config=STRICT)(built)  # type: ignore[assignment]
    return combination


def members_of(name: str) -> tuple[type[Method], ...]:
    """Return the classes whose terms a method adds up: of a single method its own."""
    cls = METHODS[name]
    return cls.members if issubclass(cls, Combination) else (cls,)


def combined(name: str) -> type[Method]:
    """Return the class of a combination; members may be named in any order.

    Raises:
        BadInputError: a member is unknown, is plain training, is named twice, or has a
            cross-entropy that is not like the others'.
    """
    names = method_name(name).split(SEPARATOR)
    names = names[:1] if names[1:] == [""] else names
    for member in names:
        METHODS[member]
        if member == PLAIN:
            raise BadInputError(f"{name}: {PLAIN} is plain training and adds nothing; leave it out")
        if METHODS[member].weights not in (Method.weights, Mixed.weights) or not (
            issubclass(METHODS[member], Mixed) or "ce_weight" in field_names(METHODS[member])
        ):
            raise BadInputError(
                f"{name}: {member} weighs the cross-entropy in its own way, so it stands alone;"
                " leave it out of the list"
            )
        if names.count(member) > 1:
            raise BadInputError(
                f"{name}: {member} is named twice; name it once, and raise its weight"
            )
    return _combination(tuple(sorted(names)))


METHODS.combine = combined
