"""What keeps runs of an import apart that look as if they belonged together, by the keys that do.

They are never averaged, so that an arm of three seeds may be shown as one of two and one of one.
Where such a difference leaves a method without its baseline, that is named, too.

Configurations are compared by sums of digests of their settings: to leave a key out is to
subtract its digest, so the work grows with configurations times keys, and not with pairs of them.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from kdgap.notice import FileNotice
from kdgap.spec.identity import canonical_json
from kdgap.spec.slot import Slot
from kdgap.store.imports.bookkeeping import CANNOT_BE_CHOSEN, is_hyperparameter, leaves
from kdgap.store.imports.findings import finding
from kdgap.store.imports.recipe import OF_ALL, recipe_of
from kdgap.store.imports.roles import ImportedRun

# What tells two configurations of one slot apart, where both say it, besides hyper-parameters; the
# last are digests of ours.
_OF_CONFIGURATION = {
    *("teacher", "kd_type", "method_parameters", "teacher_weight_hash", "cell", "settings"),
    *OF_ALL,
}
_MOST_SCHEMES = 20
"""Sets of keys that are compared pair by pair; files of one study have two or three."""
_MOST_NAMED = 50
"""Findings of one slot or student, and baselines that one finding names."""
_SHOWN = 6
"""Keys that a finding lists."""
Settings = dict[str, Any]


class _Configurations:
    """Configurations by what they say, and by what they say without some keys."""

    def __init__(self, runs: Sequence[Settings]) -> None:
        self.settings = runs
        self._digests = [_digests(settings) for settings in runs]
        self._sums = [sum(digests.values()) for digests in self._digests]
        self._schemes = {tuple(sorted(settings)) for settings in runs}
        self._alike: dict[tuple[str, ...], dict[int, list[int]]] = {}

    def alike(self, names: tuple[str, ...]) -> dict[int, list[int]]:
        """Return the configurations by what they say without these keys."""
        if names not in self._alike:
            configurations: dict[int, list[int]] = {}
            for index, digests in enumerate(self._digests):
                rest = self._sums[index] - sum(digests.get(name, 0) for name in names)
                configurations.setdefault(rest, []).append(index)
            self._alike[names] = configurations
        return self._alike[names]

    def ways(self, other: Settings | None = None) -> Iterator[tuple[str, ...]]:
        """Return the keys to leave out: each one, and what some sets of keys lack of others."""
        schemes = self._schemes if other is None else {*self._schemes, tuple(sorted(other))}
        yield from ((name,) for name in sorted(set().union(*schemes)))
        pairs = combinations(sorted(schemes)[:_MOST_SCHEMES], 2)
        yield from sorted({tuple(sorted(set(a) ^ set(b))) for a, b in pairs}, key=len)


def _digests(settings: Settings) -> dict[str, int]:
    texts = ((key, canonical_json([key, value])) for key, value in settings.items())
    return {key: int.from_bytes(hashlib.sha256(text.encode()).digest()) for key, text in texts}


def name_splits(
    runs: Iterable[ImportedRun],
    findings: list[FileNotice],
    aside: Collection[str] = (),
    hyperparameters: Collection[str] = (),
) -> None:
    """Name a slot's configurations that differ in a setting, or only in what one does not say.

    Args:
        runs: all runs, placed.
        findings: gets what is found.
        aside: keys that are no settings.
        hyperparameters: keys that are some method's, and no part of a recipe.
    """
    slots: dict[Slot, dict[str, list[ImportedRun]]] = {}
    for run in runs:
        for slot in run.slots:
            slots.setdefault(slot, {}).setdefault(run.configuration, []).append(run)
    named_paths: set[tuple[str, ...]] = set()  # runs with two roles are named once
    for slot, configurations in slots.items():
        if len(configurations) > 1:
            for notice in _within(slot, list(configurations.values()), aside):
                if notice.paths not in named_paths:
                    named_paths.add(notice.paths)
                    findings.append(notice)
    firsts: dict[tuple[str, str], list[ImportedRun]] = {}
    for slot, configurations in slots.items():
        firsts.setdefault((slot.role, slot.student), []).extend(
            run for run, *_ in configurations.values()
        )
    for (role, student), plain in firsts.items():
        if role == "baseline":
            of_methods = firsts.get(("final", student), [])
            findings += _from_baselines(of_methods, plain, aside, hyperparameters)


def _within(
    slot: Slot, configurations: list[list[ImportedRun]], aside: Collection[str]
) -> Iterator[FileNotice]:
    """Return what tells the configurations of one slot apart."""
    runs = [members[0] for members in configurations]
    seeds = [{run.seed for run in members} for members in configurations]
    known, named = _Configurations([_settings_of(run, aside) for run in runs]), 0
    groups: list[set[int]] = []
    for names in known.ways():
        for group in known.alike(names).values():
            members = set(group)
            unsaid = any(name not in known.settings[index] for index in group for name in names)
            chosen = len(names) > 1 or _is_chosen(names[0])
            if (
                len(group) < 2
                or (chosen and not unsaid)
                or any(members <= indices for indices in groups)
            ):
                continue
            if slot.role == "selection" and _is_grid(names, group, seeds):
                continue
            if (named := named + 1) > _MOST_NAMED:
                text = f"more than {_MOST_NAMED} groups of configurations of {slot.text} differ"
                yield finding("split", f"{text}; no more are named", [runs[group[0]].paths[0]])
                return
            groups.append(members)
            yield _split(
                "configurations that differ only in", names, [runs[index] for index in group]
            )
    rest = [index for index in range(len(runs)) if not any(index in indices for indices in groups)]
    group = sorted({0, *rest}) if rest else []
    names = _unlike([known.settings[index] for index in group])
    strange = [name for name in names if not (_is_chosen(name) or is_hyperparameter(name))]
    if strange and not (slot.role == "selection" and _is_grid(tuple(strange), group, seeds)):
        yield _split("configurations that differ in", names, [runs[index] for index in group])


def _is_chosen(name: str) -> bool:
    return name.split(".")[0] in _OF_CONFIGURATION


def _is_grid(names: tuple[str, ...], group: list[int], seeds: list[set[int]]) -> bool:
    """Whether configurations of a selection are what was tried, and no seeds of one of them."""
    shared = sum(len(seeds[index]) for index in group) > len(
        set().union(*(seeds[i] for i in group))
    )
    return shared or all(map(is_hyperparameter, names))


def _from_baselines(
    finals: list[ImportedRun],
    plain: list[ImportedRun],
    aside: Collection[str],
    hyperparameters: Collection[str],
) -> Iterator[FileNotice]:
    """Return what keeps the runs of methods from all baselines of their student."""
    known = _Configurations([_recipe(run, aside, hyperparameters) for run in plain])
    recipes = {canonical_json(recipe) for recipe in known.settings}
    asked = [(run, _recipe(run, aside, hyperparameters)) for run in finals]
    apart = [(run, recipe) for run, recipe in asked if canonical_json(recipe) not in recipes]
    for run, recipe in apart[:_MOST_NAMED]:
        digests, indices = _digests(recipe), set[int]()
        for names in known.ways(recipe):
            rest = sum(value for name, value in digests.items() if name not in names)
            group = set(known.alike(names).get(rest, ()))
            if not group <= indices:
                indices |= group
                members = [run, *(plain[index] for index in sorted(group)[:_MOST_NAMED])]
                yield _split("a method and its baseline that differ only in", names, members)
        if not indices:
            names = _unlike([recipe, known.settings[0]])
            yield _split("a method and its baseline that differ in", names, [run, plain[0]])


def _unlike(runs: Sequence[Settings]) -> tuple[str, ...]:
    """Return the keys that not all runs say the same of."""
    keys = sorted(set().union(*runs))
    return tuple(
        key for key in keys if any(settings.get(key) != runs[0].get(key) for settings in runs)
    )


def _split(what: str, names: Sequence[str], runs: Iterable[ImportedRun]) -> FileNotice:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    text = f"{what} {', '.join(names[:_SHOWN])}{more}"
    if not CANNOT_BE_CHOSEN.intersection(names) and not more:
        options = " ".join(f"--ignore {name}" for name in names)
        text += f"; to average them all the same, import with {options}"
    return finding("split", text, sorted({run.paths[0] for run in runs}))


def _settings_of(run: ImportedRun, aside: Collection[str]) -> Settings:
    """Return a run's settings by key, those in objects by keys with dots."""
    settings: Settings = {}
    for key, value in run.settings.items():
        inner = run.files[0].results.get(key)
        if isinstance(inner, dict) and inner:
            settings |= {k: v for k, v in leaves({key: inner}).items() if k not in aside}
        elif value is not None:
            settings[key] = value
    return settings


def _recipe(run: ImportedRun, aside: Collection[str], hyperparameters: Collection[str]) -> Settings:
    shared = recipe_of(run.settings, hyperparameters)
    return {key: v for key, v in _settings_of(run, aside).items() if key.split(".")[0] in shared}
