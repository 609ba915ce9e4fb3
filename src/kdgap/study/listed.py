"""What a study knows of the user's own images before any is decoded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdgap.data import DATASETS, Request, Shape, load_dataset
from kdgap.data.dataset import ListedShape
from kdgap.errors import BadInputError, KdgapError, placed
from kdgap.running.teacher import order_of
from kdgap.spec.complaints import Where
from kdgap.spec.run import TEST_SHARE
from kdgap.spec.study import StudyData, StudySpec
from kdgap.store.card import read_card
from kdgap.store.remote import local_place
from kdgap.store.study import StudyDirectory
from kdgap.text import shown


def listed_shape(data: StudyData, where: Where) -> Shape | None:
    """Return numbers and sizes of the images; None where they are not at hand or not the user's.

    Raises:
        BadInputError: they are certain to be refused, or are not as many as the study expects.
    """
    survey = DATASETS[data.name].survey
    if survey is None or not local_place(data.root).exists():
        return None
    with placed(lambda key: where(("data", key or "root"))):
        shape = survey(_request(data))
    if (expected := data.expected) is not None:
        # In all: near-duplicates may move some of them to the other part.
        listed = (shape.classes, shape.train + shape.test)
        if listed != (expected.classes, expected.train + expected.test):
            raise BadInputError(
                f"{where(('data', 'expected'))}: expected {expected.train + expected.test:,} images"
                f" of {expected.classes:,} classes, but {shown(data.root)} has {listed[1]:,} of"
                f" {listed[0]:,}; complete the images, or change what is expected"
            )
    return shape


def expected_shape(data: StudyData) -> Shape | None:
    """Return numbers and sizes of images that are not at hand, where the study says them."""
    expected, size = data.expected, data.image_size
    if expected is None or size is None:
        return None
    return Shape(expected.classes, 3, (size, size), expected.train, expected.test)


def _request(data: StudyData) -> Request:
    return Request(
        root=local_place(data.root),
        image_size=data.image_size,
        test_share=TEST_SHARE if data.test_share is None else data.test_share,
        split_seed=data.split_seed,
        skip_broken=data.skip_broken,
    )


def require_images(data: StudyData, where: Where) -> None:
    """Refuse to begin a study without the user's own images.

    Raises:
        BadInputError: they are not at hand.
    """
    if DATASETS[data.name].survey is not None and not local_place(data.root).exists():
        raise BadInputError(
            f"{where(('data', 'root'))}: {shown(data.root)}: no such file or folder; name the place"
            " that holds the images with --data-root"
        )


def refuse_other_classes(study: StudySpec, shape: Shape | None) -> None:
    """Refuse a given teacher of other classes than the listed images, before anything is written.

    Raises:
        TeacherError: its file cannot be read, or its classes do not fit.
    """
    if not isinstance(shape, ListedShape):
        return
    for name in dict.fromkeys(pair.teacher for pair in study.pairs):
        if (file := study.teachers.weights.get(name)) is not None:
            subset = name in study.teachers.subset
            key = f"teachers.subset: [{name}]"
            own = read_card(Path(file)).classes
            order_of(own, shape.names, f"teacher {file}", subset=subset, subset_key=key)


def refuse_start(
    directory: StudyDirectory, data: StudyData, where: Where, *, replace: bool
) -> None:
    """Refuse to start a study in a folder that is another's, or without its images.

    Args:
        directory: the folder.
        data: the study's data.
        where: tells where a key was given.
        replace: whether the study's file in the folder is about to be replaced.

    Raises:
        BadInputError: the folder holds something else, or a study of other data, or the study's own
            images are not at hand.
    """
    locked = directory.locked("data")
    if locked is None:
        require_images(data, where)
    directory.refuse_other()
    refuse_other_data(locked, data, where, directory.path)
    if locked is not None and replace:
        _refuse_other_pixels(directory, locked, data, where)


def _refuse_other_pixels(
    directory: StudyDirectory, locked: Mapping[str, Any], data: StudyData, where: Where
) -> None:
    """Refuse other pixels than a study began with, where it is said otherwise which they are.

    Names and sizes of files say little: an image that is saved again keeps its pixels. So they are
    decoded, which the cache makes short for those that were decoded before. Where the study says of
    its data what it said before, nothing of its file would change, and whoever loads them compares.
    """
    try:
        before = directory.plan()["study"]["data"]
    except (KdgapError, KeyError):  # it is to be written anew
        before = None
    if DATASETS[data.name].survey is None or before == data.model_dump(mode="json"):
        return
    require_images(data, where)
    with placed(lambda key: where(("data", key or "root"))):
        fingerprint = load_dataset(data.name, _request(data)).fingerprint
    if fingerprint != locked["fingerprint"]:
        raise BadInputError(
            f"{where(('data', 'root'))}: the study in {directory.path} began with other images, or"
            f" saw them otherwise (fingerprint {fingerprint[:12]}, locked"
            f" {locked['fingerprint'][:12]}); bring back its data, or use another --out"
        )


def refuse_other_data(
    locked: Mapping[str, Any] | None, data: StudyData, where: Where, path: Path
) -> None:
    """Refuse to go on in the folder of a study that has other data, before its file is replaced.

    What is listed is compared: data set, classes and number of images. Images that are skipped are
    not known here.

    Args:
        locked: what the study in that folder has locked of its data; None = nothing yet.
        data: what is asked for.
        where: tells where a key was given.
        path: the folder.

    Raises:
        BadInputError: it is other data.
    """
    if locked is None:
        return
    other = f"has {locked['name']}" if locked["name"] != data.name else ""
    if not other and not data.skip_broken and (shape := listed_shape(data, where)) is not None:
        was = locked["shape"]
        before = (was["classes"], was["train"] + was["test"])
        if before != (shape.classes, shape.train + shape.test):
            other = f"has {before[1]:,} images of {before[0]:,} classes"
            other += f", and {data.root} has {shape.train + shape.test:,} of {shape.classes:,}"
    if other:
        raise BadInputError(
            f"{where(('data', 'name'))}: the study in {path} has other data: it {other}; bring back"
            " its data, or use another --out"
        )
