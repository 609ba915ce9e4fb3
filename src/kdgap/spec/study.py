"""`StudySpec`: a whole study as data: teachers, pairs, grids, selection, finals, ablations, claims.

A study file says what is compared and how it is judged. `planning/plan.py` turns it into runs.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from kdgap.spec.claims import Claim, Name, Statistics
from kdgap.spec.method_name import method_name
from kdgap.spec.model import Architecture, InputSpec
from kdgap.spec.run import (
    MOST_DEVICES,
    Augmentation,
    BatchNorm,
    Precision,
    Seed,
    without_usual,
)
from kdgap.spec.validation import Scalar, Strict, Text

STAGES = {
    "teachers": ("teacher",),
    "selection": ("selection",),
    "finals": ("baseline", "final"),
    "ablations": ("ablation",),
}
"""Stage of the work → the roles of its runs."""
NO_DESCRIPTION = "a study"
"""What a study is called whose file says nothing of it."""

Recipe = dict[str, Scalar | list[int]]
Seeds = Annotated[list[Seed], Field(min_length=1, max_length=10_000)]
Devices = Annotated[int, Field(ge=1, le=MOST_DEVICES)]
"""How many devices share a run of a stage; unsaid where it is one, so that locks stay."""


class ExpectedImages(Strict):
    """What the user's own images are to be, so that a study is planned before they are at hand.

    Attributes:
        classes: how many there are.
        train, test: images of each part; validation images are still among the former.
    """

    classes: int = Field(ge=2, le=10**6)
    train: int = Field(ge=1, le=10**10)
    test: int = Field(ge=1, le=10**10)


class StudyData(Strict):
    """The images of a study; what is left out takes the data set's own default.

    Attributes:
        name: registered data set, such as `cifar10`.
        root: folder that holds it; never part of a run's id.
        image_size, augmentation, split_seed, val_size, limit, test_share, skip_broken: as in
            `DataSpec`.
        expected: numbers of the user's own images; what is found has to agree with them.
    """

    name: Text
    root: Text = "data"
    image_size: int | None = None
    augmentation: Augmentation | None = None
    split_seed: Seed = 1234
    val_size: int | None = None
    limit: int | None = None
    test_share: float | None = None
    skip_broken: bool = False
    expected: ExpectedImages | None = None

    @model_serializer(mode="wrap")
    def _neutral_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_usual(plain(self))


class StudyModel(Architecture):
    """A network of the study, under a name of its own.

    Attributes:
        input: how it sees images; None = as the data has them, or as a given teacher's card says.
    """

    input: InputSpec | None = Field(default=None, json_schema_extra={"neutral": None})


class Teachers(Strict):
    """How the teachers of the pairs come to be.

    Attributes:
        seeds: seeds on which each teacher is trained.
        teach: seeds of teachers that students learn from; with several, the teacher is a factor.
        recipe: what differs from the study's recipe.
        weights: model name → a weights file, for teachers that are given and not trained.
        allow_unmeasured: those of them whose accuracy need not have been measured.
        subset: those of them that may have more classes than the data, whose logits alone count.
        devices: how many share each run.
    """

    seeds: Seeds = Field(default_factory=lambda: [0])
    teach: Seeds = Field(default_factory=lambda: [0])
    recipe: Recipe = Field(default_factory=dict)
    weights: dict[Name, Text] = Field(default_factory=dict)
    allow_unmeasured: list[Name] = Field(default_factory=list, max_length=1000)
    subset: list[Name] = Field(default_factory=list, max_length=1000)
    devices: Devices = 1

    @model_serializer(mode="wrap")
    def _empty_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that locked protocols stay what they were before the fields came.
        fields: dict[str, Any] = plain(self)
        for name in ("allow_unmeasured", "subset"):
            if not getattr(self, name):
                del fields[name]
        return _one_unsaid(fields)

    @model_validator(mode="after")
    def _teaching_seeds_are_trained(self) -> "Teachers":
        strangers = sorted(set(self.teach) - set(self.seeds))
        if strangers:
            raise ValueError(f"teach: seed {strangers[0]} is not among the teachers' seeds")
        return self


def _one_unsaid(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if (key, value) != ("devices", 1)}


class Pair(Strict):
    """A teacher and a student, by their names in `models`."""

    teacher: Name
    student: Name


class Selection(Strict):
    """How each pair's hyper-parameters are chosen: on validation, on seeds of their own.

    Attributes:
        seeds: run seeds of the selection runs.
        metric: validation accuracy of the best epoch or of the last one, mean over seeds.
        split: `test` is the first published protocol; it has to be declared.
        allow_overlap: declares that selection seeds may be among the final seeds.
        allow_test: declares that epochs and hyper-parameters are chosen on the test images.
        devices: how many share each run.
    """

    seeds: Seeds = Field(default_factory=lambda: [1000])
    metric: Literal["best_val_acc", "last_val_acc"] = "best_val_acc"
    split: Literal["val", "test"] = "val"
    allow_overlap: bool = False
    allow_test: bool = False
    devices: Devices = 1

    @model_serializer(mode="wrap")
    def _usual_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _one_unsaid(plain(self))

    @model_validator(mode="after")
    def _test_has_to_be_declared(self) -> "Selection":
        if self.split == "test" and not self.allow_test:
            raise ValueError(
                "split: test chooses on the test images, so their accuracies are optimistic;"
                " declare it with allow_test: true"
            )
        return self


class Finals(Strict):
    """The runs that count: winners and baselines on seeds of their own.

    Attributes:
        seeds: run seeds of the finals and of the baselines.
        primary: whether the best-validation or the last weights' test accuracy decides.
        devices: how many share each run; those of ablations as well.
    """

    seeds: Seeds = Field(default_factory=lambda: list(range(5)))
    primary: Literal["best", "last"] = "best"
    devices: Devices = 1

    @model_serializer(mode="wrap")
    def _usual_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _one_unsaid(plain(self))


class AblationOf(Strict):
    """What an ablation starts from: a pair's winner, a student's baseline, or a teacher."""

    teacher: Name | None = None
    student: Name | None = None
    method: Text | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> "AblationOf":
        given = (self.teacher is not None, self.student is not None, self.method is not None)
        if given not in ((True, True, True), (False, True, False), (True, False, False)):
            raise ValueError(
                "give teacher, student and method (a pair's winner), or student alone (its"
                " baseline), or teacher alone"
            )
        return self


class Ablation(Strict):
    """The same runs with something changed, on the same seeds.

    Attributes:
        of: what it starts from.
        change: field of the run → new value, such as `recipe.clip_scope: student_only`. A change of
            `recipe.schedule` to one without milestones drops them.
        seeds: run seeds of both arms.
    """

    of: AblationOf
    change: dict[Text, Scalar | list[int]] = Field(min_length=1)
    seeds: Seeds


class Budgets(Strict):
    """What the study may cost; the plan warns where an estimate is above it.

    Attributes:
        attempts: how often a failing run is tried before it is given up.
        hours: of one machine.
        gib: of disk.
    """

    attempts: int = Field(default=3, ge=1, le=1000)
    hours: float | None = Field(default=None, gt=0)
    gib: float | None = Field(default=None, gt=0)


class StudySpec(Strict):
    """One study.

    Attributes:
        name: also the folder under `runs/`.
        description: one line.
        title: what it is called on pages; else its name.
        paper: where it was published: authors and year, an identifier or an address.
        main_claim: the name of the claim that stands first on every page; else the first one.
        models: the networks, by names of the study's own.
        recipe: fields of `RecipeSpec` for students and, unless `teachers.recipe` differs, teachers.
        methods: name → hyper-parameter → one value, or a list of values to choose from. The name is
            a registered method, or one of the study's own for what `method` says: a method, or a
            list of methods that share a run. See `method_of` and `grid_of`.
        selection: left out where every method has one configuration.
        threads: CPU threads of each worker, fixed at first use; None = torch's choice then.
        save_seconds: how often a run in training is saved.
        keep_selection_weights: whether weights of selection runs stay after the choice.
        batch_norm: how stages of several `devices` normalise, as in `RunSpec`.
    """

    name: Name
    description: Text = NO_DESCRIPTION
    title: Text | None = None
    paper: Text | None = None
    data: StudyData
    precision: Precision = "fp32"
    threads: int | None = Field(default=None, ge=1, le=1024)
    save_seconds: float = Field(default=120.0, ge=0, le=3600)
    models: dict[Name, StudyModel] = Field(min_length=1, max_length=1000)
    recipe: Recipe = Field(default_factory=dict)
    teachers: Teachers = Field(default_factory=Teachers)
    pairs: list[Pair] = Field(min_length=1, max_length=10_000)
    methods: dict[Text, dict[Text, Scalar | list[Scalar]]] = Field(min_length=1)
    selection: Selection | None = None
    finals: Finals = Field(default_factory=Finals)
    ablations: dict[Name, Ablation] = Field(default_factory=dict)
    claims: list[Claim] = Field(default_factory=list, max_length=1000)
    main_claim: Name | None = None
    statistics: Statistics = Field(default_factory=Statistics)
    budgets: Budgets = Field(default_factory=Budgets)
    keep_selection_weights: bool = False
    batch_norm: BatchNorm = "synchronised"

    @model_serializer(mode="wrap")
    def _usual_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        usual = {"batch_norm": "synchronised", "title": None, "paper": None, "main_claim": None}
        fields: dict[str, Any] = plain(self)
        return {key: value for key, value in fields.items() if usual.get(key, ...) != value}

    @property
    def smoke(self) -> bool:
        """Whether the data is limited, so that no number is a result."""
        return self.data.limit is not None

    def method_of(self, name: str) -> str:
        """Return what the study calls by a name: a registered method, or several; `method_name`."""
        return method_name(self.methods.get(name, {}).get("method", name))

    def grid_of(self, name: str) -> dict[str, Scalar | list[Scalar]]:
        """Return hyper-parameter → its values, of what the study calls by a name."""
        return {key: values for key, values in self.methods[name].items() if key != "method"}

    @property
    def grids(self) -> dict[str, dict[str, Scalar | list[Scalar]]]:
        """Name → `grid_of`, of all that is compared."""
        return {name: self.grid_of(name) for name in self.methods}


_NOT_PROTOCOL = {
    *(
        "name",
        "description",
        "title",
        "paper",
        "threads",
        "save_seconds",
        "budgets",
        "keep_selection_weights",
    ),
}


def protocol(study: StudySpec) -> Mapping[str, Any]:
    """Return the study without what says only where and how comfortably it is run."""
    kept = {k: v for k, v in study.model_dump(mode="json").items() if k not in _NOT_PROTOCOL}
    where = ("root", "expected")
    return {**kept, "data": {k: v for k, v in kept["data"].items() if k not in where}}


def preregistered(study: StudySpec) -> Mapping[str, object]:
    """Return what is locked when the first final opens the test door.

    The whole protocol: data, recipes, models, teachers, seeds, grids, claims and statistics.
    Whatever is changed in it after the test images were seen is *post hoc*.
    """
    locked = protocol(study)
    weights = locked["teachers"].pop("weights")
    locked["teachers"]["given"] = sorted(weights)  # by name: their content has a lock of its own
    return locked
