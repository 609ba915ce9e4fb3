"""Stages of a study whose runs several devices share."""

from typing import Any

import pytest

from kdgap.errors import BadInputError
from kdgap.planning.cost import cohorts
from kdgap.spec.study import preregistered, protocol
from tests.study.conftest import Open, Work, results, runs

ODD = {"epochs": 1, "batch_size": 60}
"""256 images: the last batch has 16."""
METHODS = {"logit": {"alpha": 0.5, "temperature": 4.0}, "label_smoothing": {"eps": 0.1}}


def test_each_stage_has_its_own_devices_and_trains_such_runs_by_themselves(opened: Open) -> None:
    selection = {"seeds": [1000], "devices": 3}
    finals = {"seeds": [0, 1], "devices": 2}
    methods = {"logit": {"alpha": [0.3, 0.7]}, "label_smoothing": {"eps": 0.1}}
    workspace = opened(methods=methods, selection=selection, finals=finals, batch_norm="per_rank")
    plan, _ = workspace.plan()
    devices = {
        role: {(p.run.devices, p.run.batch_norm) for p in plan.of_role(role)}
        for role in ("teacher", "selection", "baseline", "final")
    }
    assert devices == {
        "teacher": {(1, None)},
        "selection": {(3, "per_rank")},
        "baseline": {(2, "per_rank")},
        "final": {(2, "per_rank")},
    }
    groups = cohorts(list(plan.runs.values()))
    assert all(len(group) == 1 for group in groups if group[0].run.devices > 1)
    assert sum(map(len, groups)) == len(plan.runs)


def test_what_a_study_says_of_one_device_is_not_in_what_is_locked(opened: Open) -> None:
    usual = opened("usual")
    stated = opened("stated", teachers={"devices": 1}, batch_norm="synchronised")
    assert protocol(usual.study) == protocol(stated.study)
    assert preregistered(usual.study) == preregistered(stated.study)
    assert list(usual.plan()[0].runs) == list(stated.plan()[0].runs)
    other = opened("other", finals={"seeds": [0, 1], "devices": 2})
    assert protocol(other.study) != protocol(usual.study)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"finals": {"seeds": [0], "devices": 2}, "methods": {"rkd": {}}}, "rkd compares or"),
        (
            {"selection": {"devices": 2}, "methods": {"sp": {"weight": [1.0, 2.0]}}},
            "sp compares or remembers the images of a batch",
        ),
        ({"teachers": {"devices": 40}, "recipe": ODD}, "the smallest batch of an epoch has"),
        ({"teachers": {"devices": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_devices_cannot_share_is_refused_by_the_plan(
    opened: Open, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(BadInputError, match=text):
        opened(**changes).plan()


@pytest.mark.slow
def test_a_study_of_two_devices_is_done_to_its_end(worked: Work) -> None:
    """In the same way as any other: teacher, baseline and students, each in two processes."""
    directory = worked(
        methods=METHODS,
        selection=None,
        teachers={"devices": 2},
        finals={"seeds": [0], "devices": 2},
    )
    planned = runs(directory)
    assert len(planned) == 4
    for run in planned:
        assert results(directory, run)["devices"] == 2
        assert (directory.path / run["path"] / "manifest.json").exists()
