"""A study for one wish: this student, taught by that teacher, on these images, by one method."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgap.data import DATASETS, Request
from kdgap.errors import BadInputError
from kdgap.files import entries, json_text
from kdgap.methods import METHODS
from kdgap.models import MODELS
from kdgap.spec.run import Precision
from kdgap.spec.slot import PLAIN
from kdgap.store.card import PICKLE_SUFFIXES, read_card
from kdgap.store.study import StudyDirectory

SIDE = 64
"""Pixels that images of several sizes are resized to, unless another side is asked for."""
TEACHER, STUDENT = "teacher", "student"
"""What the two networks are called in the study."""


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        teacher: a network's name, which is then trained, or a weights file with a card.
        student: a network's name.
        data: a folder of images, or the name of a data set.
        data_root: the folder that holds a data set which is given by its name.
        method: a registered method with its default hyper-parameters.
        seeds: how many of each student.
        epochs: of every run.
        image_size: side that the user's own images are resized to; None = as they are, or `SIDE`
            where they are of several sizes.
    """

    teacher: str
    student: str
    data: str
    data_root: Path | None
    method: str
    seeds: int
    epochs: int
    image_size: int | None = None


@dataclass(frozen=True)
class Draft:
    """A study file whose precision is found out last, for that takes torch."""

    _fields: Mapping[str, Any]

    def text(self, precision: Precision) -> str:
        """Return it as YAML: a key a line, what is below it as JSON, which YAML includes."""
        lines = ["# Written by kdgap distill; kdgap run does the same.\n"]
        for key, value in {**self._fields, "precision": precision}.items():
            if key == "models":
                lines.append("models:\n")
                lines += [f"  {k}: {json_text(v, indent=None)}\n" for k, v in value.items()]
            else:
                lines.append(f"{key}: {json_text(value, indent=None)}\n")
        return "".join(lines)


def distilling_study(wish: Wish, name: str) -> Draft:
    """Return the study file that compares the student with and without its teacher.

    Args:
        wish: what is asked for.
        name: of the study.

    Raises:
        BadInputError: a name is unknown, or there are no such images.
        TeacherError: the teacher's file cannot be used.
    """
    if wish.method == PLAIN:
        raise BadInputError("--method none: plain training is compared with anyway; name a method")
    METHODS[wish.method]
    MODELS[wish.student]
    data = _data(wish)
    teacher, teachers = _teacher(wish.teacher)
    fields = {
        "name": name,
        "description": f"{wish.student} taught by {teacher['name']} with {wish.method}",
        "data": data,
        "models": {TEACHER: teacher, STUDENT: {"name": wish.student}},
        **teachers,
        "pairs": [{"teacher": TEACHER, "student": STUDENT}],
        "methods": {wish.method: {}},
        "recipe": {"epochs": wish.epochs, "batch_size": 64, "lr": 0.05},
        "finals": {"seeds": list(range(wish.seeds))},
    }
    return Draft(fields)


_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".tar")


def _data(wish: Wish) -> dict[str, Any]:
    """Return a study's data: a folder if there is one of that name, or else a data set."""
    folder = Path(wish.data)
    if wish.data in DATASETS and not DATASETS[wish.data].resized and not folder.is_dir():
        fields: dict[str, Any] = {"name": wish.data}
        if wish.data_root is not None:
            fields["root"] = str(wish.data_root)
        if wish.image_size is not None:  # which is refused where the images are not the user's
            fields["image_size"] = wish.image_size
        return fields
    _refuse_no_images(wish, folder)
    return _own_data(wish, folder)


def _refuse_no_images(wish: Wish, folder: Path) -> None:
    """Refuse what is neither a folder of images nor a table that names or holds them."""
    given = f"--data {wish.data}"
    if not wish.data.strip():
        raise BadInputError("--data is empty; name a folder of images, or a data set")
    if wish.data_root is not None:
        raise BadInputError(
            f"--data-root: holds a data set that is given by its name; {given} is none"
        )
    if not folder.exists():
        if wish.data in DATASETS:
            raise BadInputError(
                f"{given}: is how your own images may be kept; name their place itself:"
                " --data FOLDER"
            )
        known = ", ".join(name for name in DATASETS if not DATASETS[name].resized)
        raise BadInputError(
            f"{given}: no such folder, and no data set of that name; known: {known}"
        )
    if not folder.is_dir() and folder.suffix.lower() not in _TABLES:
        raise BadInputError(
            f"{given}: neither a folder of images nor a file (.csv, .parquet, .tar) that names or"
            " holds them"
        )


def _own_data(wish: Wish, folder: Path) -> dict[str, Any]:
    """Return a study's data of the user's own images, at their size or at the usual one."""
    tables = [*entries(folder, "manifest.csv"), *entries(folder, "*.parquet")]
    tables += entries(folder / "data", "*.parquet")
    tars = [*entries(folder, "*.tar"), *entries(folder / "train", "*.tar")]
    name = "manifest" if folder.is_file() or tables else "imagefolder"
    if folder.suffix.lower() == ".tar" or (tars and not tables):
        name = "webdataset"
    survey = DATASETS[name].survey
    assert survey is not None
    try:
        size, shape = wish.image_size, survey(Request(folder, wish.image_size))
    except BadInputError:  # whatever it is, a size does not mend it, or it is that they differ
        if wish.image_size is not None:
            raise
        try:
            size, shape = SIDE, survey(Request(folder, SIDE))
        except BadInputError as error:
            raise BadInputError(f"--data {error}") from None
    fields: dict[str, Any] = {"name": name, "root": str(folder)}
    if size is not None:
        fields["image_size"] = size
    fields["val_size"] = min(DATASETS[name].val_size, max(1, shape.train // 5))
    return fields


def _teacher(teacher: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a study's model of the teacher, and what else the study says of it."""
    path = Path(teacher)
    # Names of networks hold dots, too: shufflenetv2_1.5, package.module:factory.
    if path.suffix in (".safetensors", *PICKLE_SUFFIXES) or path.is_file():
        model = read_card(path).model
        fields = {**model.model_dump(exclude={"classifier", "code"})}
        return fields, {"teachers": {"weights": {TEACHER: str(path)}}}
    MODELS[teacher]
    return {"name": teacher}, {}


def shipped_run(directory: StudyDirectory) -> tuple[Path, str]:
    """Return the run whose network is shipped, and why it is this one, in words.

    It is the student of the best validation accuracy, taught or not; the test images choose
    nothing. Of equals it is the earliest of the plan.

    Raises:
        BadInputError: a run is not finished.
    """
    best: tuple[float, Path, str] | None = None
    runs = [run for run in directory.plan()["runs"] if {"baseline", "final"} & set(run["roles"])]
    for planned in runs:
        accuracy = directory.record(planned["path"]).results["best_val_acc"]
        method = planned["slots"][0]["method"]
        how = "trained plainly" if method == PLAIN else f"taught by {method}"
        if best is None or accuracy > best[0]:
            best = accuracy, directory.path / planned["path"], f"{how}, seed {planned['seed']}"
    assert best is not None
    return best[1], f"{best[2]}: the best of {len(runs)} on validation, {best[0]:.2%}"
