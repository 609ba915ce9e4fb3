"""The gate of a study directory's own files."""

from functools import cache
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator, with_config
from typing_extensions import TypedDict  # pydantic refuses that of `typing` before Python 3.12

from kdgap.spec.study import StudySpec
from kdgap.spec.validation import Sha256
from kdgap.store.schema.gate import ENTRY, Amount, Count, Loose, NoticeEntry, SlotEntry


@with_config(ConfigDict(**ENTRY, extra="allow"))
class RunEntry(TypedDict):
    """A planned run, in a folder below the study's own."""

    id: str
    cell: str  # the digest of its configuration
    path: Annotated[str, Field(pattern=r"^runs/[^./\x00][^/\x00]{0,254}/[^./\x00][^/\x00]{0,254}$")]
    seed: int
    teacher: str | None
    roles: list[str]
    slots: Annotated[list[SlotEntry], Field(min_length=1)]
    parameters: NotRequired[dict[str, Any]]
    flops: NotRequired[Amount | None]
    seconds: NotRequired[Amount | None]  # assumed, to say how much of the study it is


class Winner(Loose):
    """The hyper-parameters that a pair and method was given."""

    teacher: str | None
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
    open_seconds: Amount = 0.0
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

    teacher: str | None
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


class Left(Loose):
    """`live/MACHINE-PID.left`."""

    when: float
    seconds: Amount


def is_fact(name: str, value: Any) -> bool:
    """Whether a value may be locked under a name; names that are not known here take any."""
    kind = name if name in _FACTS else name.partition("-")[0]
    try:
        if kind in _FACTS:
            _gate(kind).validate_python(value)
    except ValidationError:
        return False
    return True
