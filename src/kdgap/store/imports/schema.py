"""What an import's own files must hold: its gate."""

from typing import Any

from pydantic import AliasChoices, Field

from kdgap.store.schema.gate import Count, Loose, NoticeEntry, Number, SlotEntry


class Source(Loose):
    """Where the files of an import were."""

    path: str
    sha256: str


class FileNoticeEntry(Loose):
    """What was found odd; its code is its `kind` in imports of before."""

    code: str = Field(validation_alias=AliasChoices("code", "kind"))
    text: str
    paths: list[str]


class ImportFile(Loose):
    """`import.json`."""

    name: str
    source: Source
    files: Count
    runs: Count
    findings: list[FileNoticeEntry]
    models: dict[str, dict[str, Any]]


class ImportedLine(Loose):
    """A line of `runs.jsonl`."""

    id: str
    cell: str  # the digest of its configuration
    seed: int
    slots: list[SlotEntry]
    settings: dict[str, Any]
    parameters: dict[str, Any]
    epochs: Number
    state: str
    remark: str
    validation: dict[str, Number]
    test: dict[str, Number]
    fidelity: dict[str, Any] | None
    history: list[dict[str, Any]]
    flags: list[str]
    notices: list[NoticeEntry] = Field(default_factory=list)
    paths: list[str]
