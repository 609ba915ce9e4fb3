"""Runs whose settings or seeds differ but whose histories are the same numbers.

No two seeds train through the same numbers. Of runs with one history under the seeds of one
configuration, only the first by path counts, or a mean would rest on fewer runs than its n. Under
other settings nobody can tell whose history it is, so none of them counts.

All numbers that two files have must agree: a few epochs of a small data set may well end in the
same accuracies, but no two seeds have one loss.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from kdgap.errors import BadInputError
from kdgap.notice import FileNotice
from kdgap.spec.identity import canonical_json
from kdgap.store.imports.findings import finding
from kdgap.store.imports.foreign import ForeignFile
from kdgap.store.imports.roles import ImportedRun

_MOST_SCHEMES = 20
"""Sets of keys that histories of one curve may have; files of one study have two or three."""
Member = tuple[ImportedRun, ForeignFile]
_Scheme = tuple[frozenset[str], ...]
"""The keys of each epoch."""


def curve_of(file: ForeignFile) -> str:
    """Return a run's accuracies by epoch as one text; empty where none was recorded."""
    curve = [[entry.get(key) for key in ("val_acc", "train_acc")] for entry in file.history]
    recorded = any(value is not None for pair in curve for value in pair)
    return canonical_json(curve) if recorded else ""


def name_copies(runs: Iterable[ImportedRun], findings: list[FileNotice]) -> None:
    """Name runs of one history, and mark those of them that do not count.

    Raises:
        BadInputError: there are more sets of keys than can be compared.
    """
    by_curve: dict[str, _Alike] = {}
    each = [(run, file) for run in runs for file in run.files if not file.problem]
    for run, file in sorted(each, key=lambda member: member[1].path):
        if curve := curve_of(file):
            by_curve.setdefault(curve, _Alike()).add((run, file))
    for group in (group for alike in by_curve.values() for group in alike.groups):
        members = {id(run): (run, file) for run, file in reversed(group)}
        if len(members) > 1:
            _name_group(list(members.values())[::-1], findings)


class _Alike:
    """Files of one curve in groups of one history; each file joins the first group that fits.

    Two histories fit if they agree on the keys that both have. For each two sets of keys there is
    a table of what the first files of groups say of the common ones, so that no file is compared
    with every other.
    """

    def __init__(self) -> None:
        self.groups: list[list[Member]] = []
        self._heads: dict[_Scheme, list[int]] = {}
        self._tables: dict[tuple[_Scheme, _Scheme], dict[Hashable, int]] = {}

    def add(self, member: Member) -> None:
        """Put a file into its group, or begin one."""
        history = member[1].history
        scheme = tuple(frozenset(entry) for entry in history)
        fitting = [
            index
            for other in self._heads
            if (index := self._table(other, _common(other, scheme)).get(
                _numbers(history, _common(other, scheme)))) is not None
        ]  # fmt: skip
        if fitting:
            self.groups[min(fitting)].append(member)
            return
        if scheme not in self._heads and len(self._heads) == _MOST_SCHEMES:
            raise BadInputError(
                f"{member[1].path}: one more of over {_MOST_SCHEMES} kinds of histories with one"
                " course of accuracies; import it in parts"
            )
        self._heads.setdefault(scheme, []).append(len(self.groups))
        for (own, common), table in self._tables.items():
            if own == scheme:
                table.setdefault(_numbers(history, common), len(self.groups))
        self.groups.append([member])

    def _table(self, scheme: _Scheme, common: _Scheme) -> dict[Hashable, int]:
        """Return what the groups whose first file has a set of keys say of some of them."""
        if (scheme, common) not in self._tables:
            table: dict[Hashable, int] = {}
            for index in self._heads[scheme]:
                table.setdefault(_numbers(self.groups[index][0][1].history, common), index)
            self._tables[scheme, common] = table
        return self._tables[scheme, common]


def _common(first: _Scheme, second: _Scheme) -> _Scheme:
    return tuple(a & b for a, b in zip(first, second, strict=True))


def _numbers(history: Sequence[Mapping[str, Any]], keys: _Scheme) -> Hashable:
    return tuple(
        tuple(_fixed(entry[key]) for key in sorted(names))
        for entry, names in zip(history, keys, strict=True)
    )


def _fixed(value: Any) -> Hashable:
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


def _name_group(members: list[tuple[ImportedRun, ForeignFile]], findings: list[FileNotice]) -> None:
    """Name runs of one history, in the order of their paths, and say which of them count."""
    first, others = members[0], members[1:]
    unlike = sorted(
        key
        for key in set().union(*(run.settings for run, _ in members))
        if any(run.settings.get(key) != first[0].settings.get(key) for run, _ in others)
    )
    for run, file in others:
        paths = [first[1].path, file.path]
        if unlike:
            where = f"under other settings ({', '.join(unlike[:3])})"
            text = f"the same history {where}: one of them is not what it says; neither counts"
            run.copied = f"has the history of {first[1].path} {where}"
            first[0].copied = first[0].copied or f"has the history of {file.path} {where}"
        else:
            text = f"the history of seed {first[0].seed} under seed {run.seed}; counted once"
            run.copied = f"a copy: has the history of {first[1].path}, seed {first[0].seed}"
        findings.append(finding("copy", text, paths))
