"""`RunSpec`: the complete statement of one run.

Every field that can change the result is part of the run's id (`identity.py`). A field marked
cosmetic says where and how comfortably the run happens, and is left out of it.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from kdgap.spec.model import ModelSpec
from kdgap.spec.validation import Scalar, Sha256, Strict, Text

NUMERICS_VERSION = 3
"""Raised whenever the engine's arithmetic changes, so that old and new results never mix.

What changes for some networks alone raises the version of those, see `numerics_of`.
"""

Augmentation = Literal["crop_flip", "crop", "none"]
ClipScope = Literal["all", "student_only", "apart", "off"]
OF_PROJECTIONS = ("student_only", "apart")
"""Scopes that differ from `all` where a method trains projections."""
Precision = Literal["fp32", "bf16"]
BatchNorm = Literal["synchronised", "per_rank"]
"""What batch norm computes its statistics of where several devices share a batch."""
MOST_DEVICES = 64
Tracker = Literal["tensorboard", "none"]

_COSMETIC: dict[str, Any] = {"cosmetic": True}
_NONE_IS_NEUTRAL: dict[str, Any] = {"neutral": None}

Seed = Annotated[int, Field(ge=0, lt=2**63)]


TEST_SHARE = 0.2
"""Of images that come without a split, where nothing is said."""


def without_usual(data: dict[str, Any]) -> dict[str, Any]:
    """Return fields of data without the younger ones that are as usual.

    So that records and locked studies stay what they were before these fields came.
    """
    usual = {"test_share": (TEST_SHARE, None), "skip_broken": (False,), "expected": (None,)}
    return {key: value for key, value in data.items() if value not in usual.get(key, ())}


class DataSpec(Strict):
    """Which images, how they are split, and how they are augmented.

    Attributes:
        name: registered data set, such as `cifar10`.
        image_size: side in pixels that the user's own images are resized to; None = as stored.
        test_share: share of the images that are tested on, where the user's own images come without
            a split; `split_seed` draws it.
        skip_broken: leave out images of the user's own that cannot be used, and record them.
        augmentation: `crop_flip`, `crop` (zero padding of an eighth of the side) or `none`.
        split_seed: seed of the permutation that sets the validation images apart.
        val_size: number of validation images taken from the training images.
        choose_on: the images that choose epochs and hyper-parameters: `val`, or `test` as in the
            first published protocol, which a study has to declare; then `val_size` is 0.
        limit: a smoke run's cap on the images of each split; None = all of them.
    """

    name: Text
    image_size: int | None = Field(default=None, ge=4, le=1024, json_schema_extra=_NONE_IS_NEUTRAL)
    augmentation: Augmentation = "none"
    split_seed: Seed = 1234
    choose_on: Literal["val", "test"] = Field(default="val", json_schema_extra={"neutral": "val"})
    val_size: int = Field(ge=0)
    limit: int | None = Field(default=None, ge=2, json_schema_extra=_NONE_IS_NEUTRAL)
    test_share: float = Field(
        default=TEST_SHARE, gt=0, lt=1, json_schema_extra={"neutral": TEST_SHARE}
    )
    skip_broken: bool = Field(default=False, json_schema_extra={"neutral": False})

    @model_serializer(mode="wrap")
    def _neutral_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_usual(plain(self))

    @field_validator("val_size")
    @classmethod
    def _validation_or_declared(cls, val_size: int, info: ValidationInfo) -> int:
        if info.data.get("choose_on") == "test":
            if val_size:
                raise ValueError("must be 0 where the test images choose (choose_on: test)")
        elif not val_size:
            raise ValueError("must be at least 1")
        return val_size

    def train_images(self, count: int) -> int:
        """Return how many of so many training images a run trains on, as `split_dataset` does."""
        return min(count - self.val_size, self.limit or count)


def numerics_of(model: ModelSpec | None) -> int:
    """Return the version of the arithmetic that a run of a network has: a part of its id."""
    if model is None:
        return NUMERICS_VERSION
    # 4: the CIFAR stem of these starts as torch's own convolutions do, as in the reference study.
    redrawn = ("resnet18", "resnet34", "resnet50", "resnet101")
    return 4 if model.name in redrawn and model.stem == "cifar" else NUMERICS_VERSION


class MethodSpec(Strict):
    """A distillation method by name, with every one of its hyper-parameters spelt out."""

    name: Text
    parameters: dict[str, Scalar] = Field(default_factory=dict)


class TeacherSpec(Strict):
    """The teacher: its architecture, and which weights it has.

    Attributes:
        model: its architecture.
        weight_hash: what identifies weights from a file.
        run: what identifies weights that a run of ours trained: that run's id, known before it is
            trained. Exactly one of the two is given; the best-validation weights are meant.
        weights: where the file is; the same weights in another place are the same teacher.
    """

    model: ModelSpec
    weight_hash: Sha256 | None = Field(default=None, json_schema_extra=_NONE_IS_NEUTRAL)
    run: Sha256 | None = Field(default=None, json_schema_extra=_NONE_IS_NEUTRAL)
    weights: Text = Field(json_schema_extra=_COSMETIC)

    @model_validator(mode="after")
    def _one_identity(self) -> "TeacherSpec":
        if (self.weight_hash is None) == (self.run is None):
            raise ValueError("a teacher is known by its weights' hash or by its run, one of them")
        return self


class RecipeSpec(Strict):
    """How the weights are found: optimiser, schedule, budget and gradient clipping.

    Attributes:
        optimiser: `sgd`, with momentum; or `dot`, which keeps two momenta, of the cross-entropy's
            gradient and of the distillation's (Zhao et al. 2023, DOT: A Distillation-Oriented
            Trainer, ICCV, arXiv 2307.08436).
        lr: learning rate of the first epoch.
        momentum: in [0, 1).
        nesterov: Nesterov's variant of momentum; needs momentum > 0.
        weight_decay: L2 penalty on every trained parameter, projections included.
        schedule: one value an epoch: `cosine` annealing from `lr` to `eta_min`, or `step`, which
            multiplies by `factor` after each of the `milestones`.
        eta_min: the floor of the cosine.
        epochs: passes over the training images.
        batch_size: images a step; the last, partial batch is kept, but a single image that is left
            over joins the batch before it.
        clip_norm: the largest gradient norm that is not scaled down.
        clip_scope: `all` = over the union of student and projections; `student_only` is the
            published "bug", which leaves the projections unclipped; `apart` clips each by a norm of
            its own; `off`.
        milestones: epochs after which `step` multiplies, counted from 1.
        factor: what it multiplies by.
        dot_delta: what `dot` takes from the momentum of the cross-entropy's gradient and adds to
            that of the distillation's.
    """

    optimiser: Literal["sgd", "dot"] = "sgd"
    lr: float = Field(default=0.1, gt=0, le=1000)
    nesterov: bool = True  # stands before momentum, whose check reads it
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0, le=10)
    schedule: Literal["cosine", "step"] = "cosine"
    eta_min: float = Field(default=1e-4, ge=0, le=1000)
    epochs: int = Field(default=100, ge=1, le=100_000)
    batch_size: int = Field(default=128, ge=2, le=65_536)
    clip_norm: float = Field(default=1.0, gt=0, le=1e6)
    clip_scope: ClipScope = "all"
    milestones: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(
        default_factory=list, max_length=100, json_schema_extra={"neutral": []}
    )
    factor: float = Field(default=0.1, gt=0, le=1, json_schema_extra={"neutral": 0.1})
    dot_delta: float = Field(default=0.075, ge=0, lt=1, json_schema_extra={"neutral": 0.075})

    @field_validator("momentum")
    @classmethod
    def _nesterov_needs_momentum(cls, momentum: float, info: ValidationInfo) -> float:
        if momentum == 0 and info.data.get("nesterov"):
            raise ValueError("must be greater than 0 with nesterov; or set nesterov: false")
        return momentum

    @model_validator(mode="after")
    def _schedule_is_whole(self) -> "RecipeSpec":
        if self.schedule == "cosine" and self.milestones:
            raise ValueError("milestones belong to schedule: step; set it, or leave them out")
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule: step needs milestones, such as milestones: [150, 180, 210]")
        if self.milestones != sorted(set(self.milestones)):
            raise ValueError("milestones must rise")
        if self.milestones and self.milestones[-1] >= self.epochs:
            raise ValueError(
                f"milestone {self.milestones[-1]} is not before the last of {self.epochs} epochs"
            )
        return self

    @model_validator(mode="after")
    def _momenta_are_momenta(self) -> "RecipeSpec":
        if self.optimiser == "dot":
            low, high = self.momentum - self.dot_delta, self.momentum + self.dot_delta
            if self.nesterov or low < 0 or high >= 1:
                raise ValueError(
                    "optimiser: dot needs nesterov: false, and momentum - dot_delta and"
                    f" momentum + dot_delta in [0, 1), got {low:g} and {high:g}"
                )
        return self


def unused_fields(recipe: RecipeSpec) -> list[str]:
    """Return the fields of a recipe that mean nothing beside its others."""
    unused = {
        "clip_norm": recipe.clip_scope == "off",
        "eta_min": recipe.schedule == "step",
        "factor": recipe.schedule == "cosine",
        "dot_delta": recipe.optimiser == "sgd",
    }
    return [name for name, is_so in unused.items() if is_so]


class Placement(Strict):
    """Where a run happens and what it leaves besides its results; never part of the id.

    Attributes:
        device: `auto` picks CUDA, then MPS, then the CPU.
        threads: CPU threads; None = torch's own choice. Recorded, for it can change last bits.
        data_root: folder that holds the data set.
        output_dir: the run directory.
        tracker: `tensorboard` or `none`.
        save_seconds: how often a run in training is saved, so how much can be lost.
        num_workers: accepted for the reference's files; nothing depends on it.
        devices: on how many devices a run goes on that was begun on another number of them; None =
            on as many as the run says.
        dropped: keys that were given but do not apply, echoed in `results.json`.
    """

    device: Text = "auto"
    threads: int | None = Field(default=None, ge=1, le=1024)
    data_root: Text = "data"
    output_dir: Text = "runs/run"
    tracker: Tracker = "tensorboard"
    save_seconds: float = Field(default=120.0, ge=0, le=3600)
    num_workers: int = Field(default=0, ge=0)
    devices: int | None = Field(default=None, ge=1, le=MOST_DEVICES)
    dropped: dict[str, Scalar] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _usual_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = plain(self)
        return {k: v for k, v in fields.items() if k != "devices" or v is not None}


class RunSpec(Strict):
    """One training run: a student (or a teacher, or a baseline) under one seed.

    Attributes:
        devices: how many devices share every batch.
        batch_norm: of several devices alone: `synchronised` = statistics of the whole batch;
            `per_rank` = of each device's part, and the running ones are those of the first device.
    """

    data: DataSpec
    model: ModelSpec
    method: MethodSpec
    teacher: TeacherSpec | None = None
    recipe: RecipeSpec = Field(default_factory=RecipeSpec)
    precision: Precision = "fp32"
    seed: Seed = 0
    # Some versions of pydantic ask for the default beside a bad model, too, which is then unknown.
    numerics: int = Field(default_factory=lambda known: numerics_of(known.get("model")))
    devices: int = Field(default=1, ge=1, le=MOST_DEVICES, json_schema_extra={"neutral": 1})
    batch_norm: BatchNorm | None = Field(default=None, json_schema_extra=_NONE_IS_NEUTRAL)
    place: Placement = Field(default_factory=Placement, json_schema_extra=_COSMETIC)

    @model_serializer(mode="wrap")
    def _one_device_unsaid(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that records and plans stay what they were before these fields came.
        usual = {"devices": 1, "batch_norm": None}
        return {k: v for k, v in plain(self).items() if k not in usual or v != usual[k]}

    @model_validator(mode="after")
    def _batch_norm_of_several(self) -> "RunSpec":
        if (self.devices > 1) != (self.batch_norm is not None):
            raise ValueError("batch_norm says how several devices normalise: give both, or neither")
        return self

    @property
    def smoke(self) -> bool:
        """Whether the data was limited, so that the result is no result."""
        return self.data.limit is not None

    @property
    def ranks(self) -> int:
        """How many processes train it now, one for each device."""
        return self.place.devices or self.devices
