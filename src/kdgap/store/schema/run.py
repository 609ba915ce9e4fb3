"""The gate of a run directory's files; its manifest's is in `gate.py`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from kdgap.spec.run import RunSpec
from kdgap.spec.validation import Sha256
from kdgap.store.schema.gate import Amount, Count, Loose, NoticeEntry, Number


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


class Failure(Loose):
    """`failure.json`."""

    reason: str
    epoch: int | None = None
    step: int | None = None
    repeats: bool = False


class Timing(Loose):
    """`timing.json`."""

    seconds: Amount | None = None
    attempts: Count | None = None
    together: Count | None = None
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
