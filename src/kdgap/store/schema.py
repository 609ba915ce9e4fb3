"""The typed gate: what each of our own files must look like before anything in it is believed.

One model a file. A model checks what readers rely on and lets other keys pass, so that a newer
version may add some. `checked` names what is missing or wrong in one line.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict  # pydantic refuses that of `typing` before Python 3.12

from kdgap.errors import StoreDamagedError
from kdgap.spec.run import RunSpec, Sha256
from kdgap.spec.study import StudySpec

Model = TypeVar("Model", bound=BaseModel)
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Number = bool | int | float | None


class Loose(BaseModel):
    """Look-alike types, NaN and infinity are refused; further keys are let pass."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,  # no command needs all of them, and building them takes a while
    )


class NoticeEntry(Loose):
    """Something that a reader has to know."""

    code: str
    text: str
    short: str = ""
    severity: str = "warning"


# A run directory


class DataHeader(Loose):
    """What `run.json` says of the images."""

    fingerprint: str


class RunHeader(Loose):
    """`run.json`."""

    id: Sha256
    spec: RunSpec
    environment: dict[str, Any]
    data: DataHeader
    flags: list[str]
    notices: list[NoticeEntry] = Field(default_factory=list)


class Manifest(Loose):
    """`manifest.json`: SHA-256 by file name."""

    files: dict[str, str]
    before: dict[str, str] = Field(default_factory=dict)
    dropped: dict[str, str] = Field(default_factory=dict)


class Failure(Loose):
    """`failure.json`."""

    reason: str
    epoch: int | None = None
    step: int | None = None


class Timing(Loose):
    """`timing.json`."""

    seconds: Amount | None = None
    finished: str | None = None
    test_openings: list[dict[str, Any]] = Field(default_factory=list)


class Began(Loose):
    """A line of `attempts.jsonl`: training began at an epoch and step."""

    began: str
    start: Annotated[list[Count], Field(alias="from", min_length=2, max_length=2)]


class Ended(Loose):
    """A line of `attempts.jsonl`: training ended."""

    ended: Literal["finished", "failed", "stopped"]


class Epoch(Loose):
    """A line of `history.jsonl`: numbers by name, some by loss term."""

    __pydantic_extra__: dict[str, Number | dict[str, Number]] = Field(init=False)
    epoch: Annotated[int, Field(ge=1)]


# A study directory


# A plan has thousands of these: dictionaries are looked at four times as fast as models are made.
_ENTRY = ConfigDict(strict=True, allow_inf_nan=False)


@with_config(ConfigDict(**_ENTRY, extra="forbid"))
class SlotEntry(TypedDict):
    """A role that a planned run plays."""

    role: str
    teacher: str | None
    student: str
    method: str
    candidate: NotRequired[str]
    ablation: NotRequired[str]
    arm: NotRequired[str]
    variant: NotRequired[str]  # of plans before these


@with_config(ConfigDict(**_ENTRY, extra="allow"))
class RunEntry(TypedDict):
    """A planned run, in a folder below the study's own."""

    id: str
    cell: str
    path: Annotated[str, Field(pattern=r"^runs/[^./\x00][^/\x00]{0,254}/[^./\x00][^/\x00]{0,254}$")]
    seed: int
    teacher: str | None
    roles: list[str]
    slots: Annotated[list[SlotEntry], Field(min_length=1)]
    parameters: NotRequired[dict[str, Any]]
    flops: NotRequired[Amount | None]


class Winner(Loose):
    """The hyper-parameters that a pair and method was given."""

    teacher: str
    student: str
    method: str
    parameters: dict[str, Any]


class PlanFile(Loose):
    """`plan.json`."""

    study: StudySpec
    selection_complete: bool
    winners: list[Winner]
    runs: list[RunEntry]
    open_runs: Count
    open_flops: Amount
    notices: list[NoticeEntry]
    warnings: list[str] = Field(default_factory=list)  # of plans before notices, as are marks
    marks: list[str] = Field(default_factory=list)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    open: list[dict[str, Any]] = Field(default_factory=list)
    study_file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, plan: Any) -> Any:
        before = isinstance(plan, dict) and "warnings" in plan and "notices" not in plan
        return {**plan, "notices": []} if before else plan


class Candidate(Loose):
    """What selection tried: hyper-parameters, run ids, and the mean score; None = failed."""

    parameters: dict[str, Any]
    runs: list[str]
    score: float | None


class ChoiceEntry(Loose):
    """What selection chose for one pair and method."""

    teacher: str
    student: str
    method: str
    tried: int
    winner: dict[str, Any] | None = None
    candidates: list[Candidate] = Field(default_factory=list)


class SelectionFile(Loose):
    """`selection.json`."""

    choices: list[ChoiceEntry]


class ShapeFact(Loose):
    """Numbers and sizes of the images."""

    train: Count
    test: Count
    classes: Count
    channels: Count
    image_size: Annotated[list[Count], Field(min_length=2, max_length=2)]


class DataFact(Loose):
    """`locked/data.json`: the images that the study began with."""

    name: str
    fingerprint: str
    shape: ShapeFact


_FACTS: dict[str, Any] = {
    "format": Annotated[int, Field(strict=True, ge=1, le=1)],
    "threads": Annotated[int, Field(strict=True, ge=1)],
    "data": DataFact,
    "teacher": Sha256,
    "normalisation": tuple[list[float], list[float]],
}


@cache
def _gate(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_FACTS[name])


class LiveRun(Loose):
    """How far a runner is with one run."""

    epoch: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    step: Count
    steps: Annotated[int, Field(ge=1)]
    val_acc: float | None = None


class Live(Loose):
    """`live/MACHINE-PID.json`."""

    pid: int
    host: str
    when: float
    phase: str = ""
    runs: dict[str, LiveRun] | list[str] = Field(default_factory=list)


# The cache


class Measured(Loose):
    """`measured/NAME.json` in the cache folder: numbers by name."""

    of: str
    values: dict[str, float]


# An import


def checked(model: type[Model], value: Any, path: Path, hint: str = "") -> Model:
    """Return a file's content in its model.

    Raises:
        StoreDamagedError: naming the first key that is missing or wrong, and `hint`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        place = error.errors(include_url=False)[0]["loc"]
        key = str(place[0]) if place else "its content"
        raise StoreDamagedError(f"{path}: {key} is missing or damaged{hint}") from None


def fits(model: type[BaseModel], value: Any) -> bool:
    """Whether a value is what a model says."""
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


def is_fact(name: str, value: Any) -> bool:
    """Whether a value may be locked under a name; names that are not known here take any."""
    kind = name if name in _FACTS else name.partition("-")[0]
    try:
        if kind in _FACTS:
            _gate(kind).validate_python(value)
    except ValidationError:
        return False
    return True
