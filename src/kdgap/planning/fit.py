"""Whether the parts of a run fit together, asked before anything is loaded."""

from kdgap.errors import BadInputError
from kdgap.methods import build_method
from kdgap.models import MODELS
from kdgap.spec.run import RunSpec


def check_stages(run: RunSpec) -> None:
    """Refuse networks whose feature stages the method cannot compare.

    Raises:
        BadInputError: the method says why.
    """
    if run.teacher is not None:
        method = build_method(run.method.name, run.method.parameters)
        method.check_stages(MODELS[run.model.name].stages, MODELS[run.teacher.model.name].stages)


def check_trainable(run: RunSpec, images: int) -> None:
    """Refuse a single training image, which batch norm cannot train on.

    Args:
        run: the run.
        images: number of training images.

    Raises:
        BadInputError: with what to do.
    """
    if images < 2:
        raise BadInputError(
            f"val_size {run.data.val_size:,} leaves {images} training image of {run.data.name},"
            " which batch norm cannot train on; give a smaller val_size"
        )
