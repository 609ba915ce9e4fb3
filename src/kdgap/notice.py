"""One form for everything that a reader has to know before believing a number or a file.

Decisions are taken by a notice's code, never by its words. Plans, records and analyses write all
four fields down (`docs/statistics.md` lists the codes), so that whoever reads them need not guess.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Severity = Literal["info", "warning", "serious"]
_FIELDS = ("code", "text", "short", "severity")
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From what weighs least to what weighs most."""


@dataclass(frozen=True)
class Notice:
    """Something to know.

    Attributes:
        code: which kind of thing, in lower case with hyphens; the same for all of a kind.
        text: a sentence, without its full stop.
        short: the few words that stand under every table; empty where it does not weigh that much.
        severity: `serious` where it weighs on every number, `info` where nothing is wrong.
    """

    code: str
    text: str
    short: str = ""
    severity: Severity = "warning"


@dataclass(frozen=True)
class FileNotice(Notice):
    """The same of files: `paths` are where it is seen."""

    paths: tuple[str, ...] = ()

    @property
    def notice(self) -> Notice:
        """The same without its files: what several have in common."""
        return Notice(self.code, self.text, self.short, self.severity)


def serious(code: str, text: str, short: str) -> Notice:
    """Return a notice that stands under every table."""
    return Notice(code, text, short, "serious")


def shorts(notices: Iterable[Notice]) -> tuple[str, ...]:
    """Return the few words of those that have them, each once."""
    return tuple(dict.fromkeys(notice.short for notice in notices if notice.short))


def by_severity(notices: Iterable[Notice]) -> list[Notice]:
    """Return notices in the order in which they are told: what weighs most comes first."""
    return sorted(notices, key=lambda notice: -SEVERITIES.index(notice.severity))


def codes(notices: Iterable[Notice]) -> set[str]:
    """Return which kinds there are."""
    return {notice.code for notice in notices}


def written(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """Return notices as a file holds them."""
    return [asdict(notice) for notice in notices]


def read(entries: Iterable[Mapping[str, Any]]) -> tuple[Notice, ...]:
    """Return the notices that a file holds; keys of later versions are passed over."""
    return tuple(
        Notice(
            entry["code"], entry["text"], entry.get("short", ""), _severity(entry.get("severity"))
        )
        for entry in entries
    )


def are_written(value: object) -> bool:
    """Whether something is what `written` returns, as far as `read` reads it."""
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and {"code", "text"} <= entry.keys()
        and all(isinstance(entry.get(key, ""), str) for key in _FIELDS)
        for entry in value
    )


def _severity(value: object) -> Severity:
    return next((severity for severity in SEVERITIES if severity == value), "warning")
