"""What a study knows of the user's own images before any is decoded."""

from pathlib import Path

from kdgap.data import DATASETS, Request, Shape
from kdgap.errors import BadInputError, placed
from kdgap.spec.complaints import Where
from kdgap.spec.run import TEST_SHARE
from kdgap.spec.study import StudyData
from kdgap.text import shown


def listed_shape(data: StudyData, where: Where) -> Shape | None:
    """Return numbers and sizes of the images; None where they are not at hand or not the user's.

    Raises:
        BadInputError: they are certain to be refused.
    """
    survey = DATASETS[data.name].survey
    if survey is None or not Path(data.root).exists():
        return None
    request = Request(
        root=Path(data.root),
        image_size=data.image_size,
        test_share=TEST_SHARE if data.test_share is None else data.test_share,
        split_seed=data.split_seed,
        skip_broken=data.skip_broken,
    )
    with placed(lambda key: where(("data", key or "root"))):
        return survey(request)


def require_images(data: StudyData, where: Where) -> None:
    """Refuse to begin a study without the user's own images.

    Raises:
        BadInputError: they are not at hand.
    """
    if DATASETS[data.name].survey is not None and not Path(data.root).exists():
        raise BadInputError(
            f"{where(('data', 'root'))}: {shown(data.root)}: no such file or folder; name the place"
            " that holds the images with --data-root"
        )
