"""Teachers that a study is given as files: what their cards say, before any weights are read."""

from pathlib import Path

from kdgap.advice import command
from kdgap.data import DATASETS
from kdgap.errors import TeacherError
from kdgap.notice import Notice
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, TeacherSpec
from kdgap.spec.study import StudySpec
from kdgap.store.card import Card, read_card
from kdgap.store.notices import SEEN_VALIDATION


def given_teacher(
    study: StudySpec, name: str, model: ModelSpec, data: DataSpec
) -> tuple[TeacherSpec, list[Notice]]:
    """Return a given teacher, and what a reader has to know of it.

    Args:
        study: the study.
        name: the teacher's name in it.
        model: what the study says that it is.
        data: the study's images.

    Raises:
        TeacherError: its file is missing, or its card says that it cannot teach here.
    """
    path = Path(study.teachers.weights[name])
    card = read_card(path)
    same = card.model.architecture() == model.architecture()
    if not same or card.model.classifier or model.input not in (None, card.model.input):
        raise TeacherError(
            f"{path} holds {card.model.described()}, but {name} is {model.described()}"
        )
    if card.accuracy is None and name not in study.teachers.allow_unmeasured:
        root = () if study.data.root == "data" else ("--data-root", study.data.root)
        raise TeacherError(
            f"{path}: its accuracy was never measured; measure it with"
            f" `{command('evaluate', path, '--write-card', *root)}`, or set"
            f" teachers.allow_unmeasured: [{name}]"
        )
    _check_shape(path, card, data.name)
    notices = []
    if data.choose_on == "val" and card.has_seen_validation(data.name, None):
        text = (
            f"teacher {name} has seen the validation images, which choose epochs and"
            " hyper-parameters: it was trained on all training images"
        )
        notices.append(Notice(SEEN_VALIDATION.code, text))
    spec = TeacherSpec(
        model=card.model, weight_hash=card.weight_hash, weights=study.teachers.weights[name]
    )
    return spec, notices


def _check_shape(path: Path, card: Card, data: str) -> None:
    """Refuse what is known without the images; classes are compared by name when they are there."""
    shape = DATASETS[data].shape
    if shape is None:
        return
    if card.channels != shape.channels:
        raise TeacherError(
            f"{path}: it takes images of {card.channels} colour channels, {data} has"
            f" {shape.channels}"
        )
    if len(card.classes) < shape.classes:
        raise TeacherError(
            f"{path}: it knows {len(card.classes)} classes, {data} has {shape.classes}"
        )
