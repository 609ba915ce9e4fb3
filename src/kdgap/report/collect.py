"""Result files under a folder, grouped by everything that makes runs alike, best by validation.

Reads the reference study's own files too: they have fewer keys, and some stand under two paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, one_line
from kdgap.notice import shorts
from kdgap.report.tables.forms import csv_text
from kdgap.spec.slot import PLAIN, pair_text
from kdgap.stats.contrast import mean_and_std
from kdgap.store.imports.foreign import hyperparameters, model_text, same_history, settings_of
from kdgap.store.imports.gate import OddFileError, read_finite
from kdgap.store.imports.own_names import called, check_names
from kdgap.store.imports.recipe import order_of
from kdgap.store.imports.source_files import FIDELITY, RESULTS, PassedOver, Unreadable
from kdgap.store.imports.sources import members
from kdgap.store.notices import chosen_on, recorded
from kdgap.store.reference import METHOD
from kdgap.text import settings_text

_DIGESTS = ("cell", "settings", "method_parameters")  # which hyper-parameters change as well


@dataclass
class Group:
    """Runs of one method that differ in their seed alone.

    Attributes:
        key: their settings.
        method: what their study calls the method, or else `kd_type`.
    """

    key: Mapping[str, Any]
    method: str
    runs: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    paths: dict[int, Path] = field(default_factory=dict)

    def values(self, name: str) -> list[float]:
        """Return a metric over seeds; empty if some run lacks it."""
        values = [run.get(name) for run in self.runs.values()]
        return [] if None in values else [float(value) for value in values if value is not None]

    @property
    def selection_metric(self) -> str | None:
        """What the study that exported these runs chose by; None if they come from no selection."""
        given = (run.get("selection_metric") for run in self.runs.values())
        return next((str(metric) for metric in given if metric), None)

    @property
    def is_winner(self) -> bool:
        """Whether the study that exported these runs chose this configuration."""
        return any(run.get("selection_winner") is True for run in self.runs.values())

    @property
    def title(self) -> str:
        """What the group is, in words."""
        key, model = self.key, model_text(self.key)
        pair = pair_text(key.get("teacher"), model)
        settings = hyperparameters(key)
        shown = settings_text(settings)
        method = "baseline" if key["kd_type"] == PLAIN else self.method
        marks = [f"{key['stem']} stem"] if key.get("stem", "cifar") != "cifar" else []
        marks += ["projections unclipped"] if key.get("no_proj_clip") else []
        marks += [f"{key['epochs']} epochs"]
        marks += ["smoke"] if key.get("smoke") else []
        notices = [notice for run in self.runs.values() for notice in recorded(run)]
        marks += ["epochs chosen on test"] if chosen_on(notices) == "test" else []
        marks += sorted(shorts(notices))
        return f"{pair} {method}" + (f" ({shown})" if shown else "") + f", {', '.join(marks)}"


def collect(folder: Path) -> tuple[list[Group], list[str]]:
    """Read every `results.json` below a folder, in time and memory as `kdgap import` does.

    Returns:
        Groups in order of their names, and a line for each file that was left out and for each
        setting that keeps groups of one name apart.

    Raises:
        BadInputError: no results there, or two different runs of one seed in a group.
    """
    groups: dict[str, Group] = {}
    remarks = []
    passed = PassedOver()
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no {RESULTS} found there")
    for name, content in sorted(members(folder, passed), key=lambda member: member[0]):
        path = folder / name
        if path.name == FIDELITY:
            continue
        try:
            if isinstance(content, Unreadable):
                raise OddFileError(content.why)
            run = read_finite(content)
            key = settings_of(run)
            seed = int(run["seed"])
            check_names(run)
        except (OddFileError, KeyError, TypeError, ValueError) as error:
            problem = f"({type(error).__name__}: {one_line(error)})"
            remarks.append(f"{path}: left out: no result file {problem}")
            continue
        # A run that is in two arms of its study is in the grid of each of them.
        method = called(run)
        group = groups.setdefault(repr((method, sorted(key.items(), key=str))), Group(key, method))
        if seed in group.runs:
            if not same_history(group.runs[seed].get("history") or [], run.get("history") or []):
                raise BadInputError(
                    f"{path}: another run of seed {seed} than {group.paths[seed]}, under the same"
                    " settings; which one counts?"
                )
            remarks.append(f"{path}: the same run as {group.paths[seed]}; counted once")
            continue
        group.runs[seed], group.paths[seed] = run, path
    if not groups:
        raise BadInputError(f"{folder}: no {RESULTS} found there")
    for reason, paths in passed.paths.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        remarks.append(f"{folder / paths[0]}{more}: not read: {reason}")
    sorted_groups = sorted(groups.values(), key=lambda group: group.title)
    return sorted_groups, remarks + _splits(sorted_groups)


def _splits(groups: list[Group]) -> list[str]:
    """Return a line for each two groups of one name, in their order, and what they differ in."""
    lines = []
    for group, other in pairwise(groups):
        if group.title == other.title:
            keys = group.key.keys() | other.key.keys()
            names = sorted(key for key in keys if group.key.get(key) != other.key.get(key))
            lines.append(
                f"{group.title}: groups that are not averaged differ in {', '.join(names)}"
            )
    return lines


def best_configurations(groups: list[Group]) -> dict[str, Mapping[str, Any]]:
    """Return the best configuration of each pair and method, by mean validation accuracy.

    Where a study's export says what the study chose, that is the best: its finals use it. Of other
    files the highest `best_val_acc` wins.

    Raises:
        BadInputError: candidates of one pair and method are unlike in more than hyper-parameters,
            or their study has not chosen one of them.
    """
    candidates: dict[str, list[Group]] = {}
    # A tie goes to the first in the order of the values, which is that of the reference's grids.
    for group in sorted(groups, key=lambda g: order_of(hyperparameters(g.key))):
        key = group.key
        if key["kd_type"] != PLAIN and key.get("teacher"):
            name = f"{key['teacher']}_to_{model_text(key)}_{group.method}"
            candidates.setdefault(name, []).append(group)
    return {name: _best(name, tried) for name, tried in sorted(candidates.items())}


def _best(name: str, candidates: list[Group]) -> dict[str, Any]:
    _refuse_unlike(candidates)
    chosen_by = candidates[0].selection_metric
    metric = chosen_by or "best_val_acc"
    means = []
    for group in candidates:
        values = group.values(metric)
        if not values:
            raise BadInputError(f"{group.title}: a run without {metric} cannot be compared")
        means.append(mean_and_std(values)[0])
    winners = [i for i, group in enumerate(candidates) if group.is_winner]
    if chosen_by is None:
        winners = [means.index(max(means))]
    if len(winners) != 1:
        raise BadInputError(
            f"{name}: {len(winners)} of {len(candidates)} candidates are their study's winner;"
            " finish its selection and export it again"
        )
    best = candidates[winners[0]]
    return {
        "teacher": best.key["teacher"],
        "model": best.key["model"],
        "kd_type": best.key["kd_type"],
        **({METHOD: best.method} if best.method != best.key["kd_type"] else {}),
        **hyperparameters(best.key),
        metric: means[winners[0]],
        "seeds": sorted(best.runs),
        "smoke": bool(best.key.get("smoke")),
        "tried": len(candidates),
    }


def _refuse_unlike(candidates: list[Group]) -> None:
    """Refuse candidates that differ in more than their hyper-parameters."""
    theirs: dict[str, Any] = {}
    for group in candidates:
        apart = (*hyperparameters(group.key), *_DIGESTS)
        common = {key: value for key, value in group.key.items() if key not in apart}
        common["selection_metric"] = group.selection_metric
        if group.selection_metric is None:  # a study knows which seeds failed, and chose without
            common["seeds"] = sorted(group.runs)
        theirs = theirs or common
        for key in theirs | common:
            if theirs.get(key) != common.get(key):
                raise BadInputError(
                    f"{group.title}: cannot be compared with the other candidates: its {key} is"
                    f" {common.get(key)!r}, theirs {theirs.get(key)!r}"
                )


def as_csv(groups: list[Group]) -> str:
    """Return one line a run; cells that a spreadsheet would take for a formula are neutralised."""
    columns = [
        *("model", "teacher", "kd_type", METHOD, "alpha", "temperature", "feat_beta", "stem"),
        *("no_proj_clip", "seed", "epochs", "best_val_acc", "best_val_epoch"),
        *("test_acc_best", "test_acc_final", "smoke", "run_id"),
    ]
    rows = [
        [
            *(run.get(column) for column in columns),
            settings_text(hyperparameters(group.key)),
            str(group.paths[seed]),
        ]
        for group in groups
        for seed, run in sorted(group.runs.items())
    ]
    return csv_text([*columns, "hyperparameters", "path"], rows)
