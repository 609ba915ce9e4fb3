"""Whether the parts of a run fit together, asked before anything is loaded."""

from kdgap.errors import BadInputError
from kdgap.methods import build_method
from kdgap.methods.hyperparameters import deployed_model
from kdgap.methods.method import WEIGHS
from kdgap.models.entry import Anatomy, anatomy
from kdgap.models.taps import KINDS, Taps
from kdgap.planning.devices import check_shared_method
from kdgap.spec.run import RunSpec
from kdgap.text import sized


def check_stages(run: RunSpec) -> None:
    """Refuse networks whose feature stages the method cannot compare.

    Raises:
        BadInputError: the method says why; or it cannot be shared by several devices.
    """
    check_shared_method(run)
    if run.teacher is not None:
        method = build_method(run.method.name, run.method.parameters)
        student, teacher = anatomy(run.model), anatomy(run.teacher.model)
        method.check_stages(student.stages, teacher.stages)
        _check_taps(run.model.name, student, method.student_taps(student.stages), method.name)
        teacher_taps = method.teacher_taps(teacher.stages)
        _check_taps(run.teacher.model.name, teacher, teacher_taps, method.name)
        if method.deploys_another:  # whose classifier is taken out
            _check_taps(run.model.name, student, Taps(pooled=True, classifier=True), method.name)
        if run.teacher.model.classifier and (method.deploys_another or teacher_taps.classifier):
            raise BadInputError(
                f"{method.name} reads the teacher's last map with its classifier, and this teacher"
                f" has the classifier of a {run.teacher.model.classifier.name} (it was trained by"
                " simkd); choose another teacher or method"
            )


def _check_taps(name: str, entry: Anatomy, taps: Taps, method: str) -> None:
    """Refuse a network that lacks what a method reads."""
    for kind in sorted(taps.kinds & set(entry.lacks)):
        raise BadInputError(
            f"{method} reads {KINDS[kind]}, and {name} has none; choose another network or method"
        )


def stage_pairs(run: RunSpec) -> list[tuple[str, str]]:
    """Return which of the student's stages is compared with which of the teacher's, if any are."""
    if run.teacher is None:
        return []
    method = build_method(run.method.name, run.method.parameters)
    return method.pairs(anatomy(run.model).stages, anatomy(run.teacher.model).stages)


LARGE_WEIGHT = 100.0
"""A term of this weight meets the usual clipping at nearly every step."""


def clipped_weights(run: RunSpec, called: str = "") -> str:
    """Return a sentence where a loss's weight is so large that clipping undoes it, else nothing.

    Args:
        run: the run.
        called: what its study calls the method.
    """
    method = build_method(run.method.name, run.method.parameters)
    fields = type(method).__pydantic_fields__  # type: ignore[attr-defined]
    weights = [getattr(method, name) for name, at in fields.items() if WEIGHS in at.metadata]
    if run.recipe.clip_scope == "off" or max(weights, default=0.0) < LARGE_WEIGHT:
        return ""
    return (
        f"{called or run.method.name} weighs its loss by {max(weights):g}, and gradients are"
        f" clipped at {run.recipe.clip_norm:g}: the weight means little; published recipes do not"
        " clip (clip_scope: off)"
    )


def deployed_words(run: RunSpec, called: str) -> str:
    """Return a sentence where what is tested is another network than the student, else nothing.

    Args:
        run: the run.
        called: what its study calls the method.
    """
    taken = deployed_model(run).classifier
    if taken is None:
        return ""
    return (
        f"{called} trains and tests {sized(run.model.name, run.model.width)} with a"
        f" connector and the classifier of {sized(taken.name, taken.width)}: a larger network than"
        " the rows beside it have"
    )


def check_trainable(run: RunSpec, images: int) -> None:
    """Refuse one training image, which batch norm cannot train on.

    Raises:
        BadInputError: with what to do.
    """
    if images < 2:
        raise BadInputError(
            f"val_size {run.data.val_size:,} leaves {images} training image of {run.data.name},"
            " which batch norm cannot train on; give a smaller val_size"
        )
