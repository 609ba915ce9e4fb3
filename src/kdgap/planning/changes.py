"""Runs with something changed: what an ablation does, and what does not apply to a run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from kdgap.data import Shape, smaller_val_size
from kdgap.errors import BadInputError, nearest, placed
from kdgap.methods import METHODS, build_method
from kdgap.models.build import check_model
from kdgap.planning.cost import images
from kdgap.planning.fit import check_stages, check_trainable
from kdgap.planning.parts import planned_sizes
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import OF_PROJECTIONS, DataSpec, RecipeSpec, RunSpec, unused_fields
from kdgap.spec.validation import Scalar, build

# What can be changed besides the method: which images there are is the study's, not a run's.
CHANGEABLE = {
    "data": ("augmentation", "image_size", "split_seed", "val_size"),
    "model": tuple(ModelSpec.model_fields),
    "recipe": tuple(RecipeSpec.model_fields),
}


def changed_run(
    run: RunSpec,
    change: Mapping[str, Scalar | list[int]],
    where: Callable[[str], str],
    image_size: tuple[int, int] | None,
) -> RunSpec:
    """Return a run with every change applied, and then checked as a whole.

    Args:
        run: the run.
        change: field → value, such as `recipe.clip_scope` or `method.alpha`.
        where: tells where a change was given, for error messages.
        image_size: height and width of the images, if known.

    Raises:
        BadInputError: no such field, or a value that the run cannot have.
    """
    values: dict[str, Any] = run.model_dump(exclude={"numerics"})  # it follows from the model
    for path, value in change.items():
        group, _, key = path.partition(".")
        if group == "method" and key:
            values["method"]["parameters"][key] = value
        elif key in CHANGEABLE.get(group, ()):
            values[group][key] = value
        else:
            known = [f"{g}.{k}" for g, keys in CHANGEABLE.items() for k in keys]
            raise BadInputError(
                f"{where(path)}: {path}: no field of a run that an ablation can change"
                f"{nearest(path, known)}; known: method.…, {', '.join(known)}"
            )

    if change.get("recipe.schedule") == "cosine" and "recipe.milestones" not in change:
        values["recipe"]["milestones"] = []

    def under(group: str, key: str) -> str:
        return where(f"{group}.{key}")

    for group, cls in (("data", DataSpec), ("model", ModelSpec), ("recipe", RecipeSpec)):
        fields = values[group]
        build(cls, fields, partial(under, group), fields, {k: f"{group}.{k}" for k in fields})
    name, parameters = run.method.name, values["method"]["parameters"]
    method = build_method(name, parameters, partial(under, "method"), flat=False)
    values["method"]["parameters"] = method.parameters()
    changed = RunSpec.model_validate(values)
    with placed(where(next(iter(change)))):
        check_model(changed.model, image_size)
        check_stages(changed)
    return changed


def check_amounts(run: RunSpec, shape: Shape | None) -> None:
    """Refuse a run that does not fit its data, as far as these are known.

    Raises:
        BadInputError: with the key `method` where it is the method that does not.
    """
    if shape is None:
        return
    if run.data.image_size is not None:
        shape = replace(shape, image_size=(run.data.image_size, run.data.image_size))
    if shape.classes < 2:
        raise BadInputError(f"{run.data.name} has one class: there is nothing to tell apart")
    if smaller := smaller_val_size(run.data.val_size, shape.train):
        raise BadInputError(
            f"val_size {run.data.val_size:,} leaves no training image: {run.data.name} has"
            f" {shape.train:,}; give a smaller val_size, such as {smaller}"
        )
    train = images(run, shape)[0]
    check_trainable(run, train)
    try:
        planned_sizes(run, shape, train)
    except BadInputError as error:
        raise BadInputError(str(error), "method") from None


def applicable(run: RunSpec) -> RunSpec:
    """Return a run without what does not apply to it, so that equal runs have equal ids."""
    recipe: dict[str, Any] = {}
    apart = run.recipe.clip_scope in OF_PROJECTIONS
    if apart and not METHODS[run.method.name].has_projections:
        recipe["clip_scope"] = "all"  # without projections the student alone is the union
    for key in unused_fields(run.recipe):
        usual = RecipeSpec.model_fields[key].default
        if getattr(run.recipe, key) != usual:
            recipe[key] = usual
    if not recipe:
        return run
    return run.model_copy(update={"recipe": run.recipe.model_copy(update=recipe)})
