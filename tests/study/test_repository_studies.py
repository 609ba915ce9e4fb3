"""The studies that the repository comes with can be planned, and are what they are said to be."""

import hashlib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from kdgap import yamlio
from kdgap.data import Shape
from kdgap.planning.cost import costs_of
from kdgap.planning.plan import Plan, count_runs
from kdgap.planning.planner import plan_study
from kdgap.spec.study_file import read_study
from kdgap.store.study import StudyDirectory
from kdgap.study.workspace import Workspace, stand_in

STUDIES = Path(__file__).resolve().parents[2] / "configs" / "studies"


@cache
def study_file(name: str) -> tuple[Workspace, Plan]:
    """A study that was never begun, planned once; only to be read."""
    study, where = read_study(yamlio.load(STUDIES / f"{name}.yaml"), {})
    workspace = Workspace(study, where, StudyDirectory(Path("no folder")))
    return workspace, workspace.plan()[0]


def test_the_reference_study_is_the_published_second_protocol() -> None:
    workspace, bare = study_file("reference")
    counts = {"teacher": 9, "selection": 48, "baseline": 10, "final": 40, "ablation": 24}
    assert count_runs(workspace.study) == counts
    planned_counts = {role: len(bare.of_role(role)) for role in counts}
    assert planned_counts == counts | {"final": 0, "ablation": 2 * (3 + 3 + 1)}
    assert Counter(s.role for s in bare.open_slots) == {"final": 8, "ablation": 2}
    assert sum(bare.open_slots.values()) == 40 + 10
    full = stand_in(workspace, bare)
    assert {role: len(full.of_role(role)) for role in counts} == counts
    assert len(full.runs) == 9 + 48 + 10 + 40 + (5 + 3 + 3 + 1)  # each base arm is there already
    assert {r.run.data.val_size for r in full.runs.values()} == {5000}
    warnings = [notice.text for notice in workspace.notices(bare)]
    assert not any("test images" in w or "among the final" in w for w in warnings)


def test_the_first_protocol_is_flagged_for_what_it_is() -> None:
    workspace, plan = study_file("reference_v1")
    assert {(r.run.data.choose_on, r.run.data.val_size) for r in plan.runs.values()} == {
        ("test", 0)
    }
    warnings = " ".join(notice.text for notice in workspace.notices(plan))
    for words in ("chosen on the test images", "among the final seeds", "unequal tuning budgets"):
        assert words in warnings


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_of_the_repository_can_be_planned(path: Path) -> None:
    workspace, plan = study_file(path.stem)
    shape = workspace.shape()
    if shape is None:  # the user's own images, which are not here
        assert workspace.study.data.name == "imagefolder"
        shape = Shape(3, 3, (64, 64), 800, 200)
    full = stand_in(workspace, plan)
    assert full.open_slots == {}
    assert all(cost.train_flops > 0 for cost in costs_of(full.runs.values(), shape).values())


@pytest.mark.parametrize(
    ("file", "digest"),
    [("digits.yaml", "074b4bdf777c9d9d"), ("cifar10_micro.yaml", "a696d470487d6d19")],
)
def test_the_ids_of_the_studies_on_small_networks_never_move(file: str, digest: str) -> None:
    study, where = read_study(yamlio.load(STUDIES / file), {})
    ids = "".join(plan_study(study, where).runs)
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == digest
