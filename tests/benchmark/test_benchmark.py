"""What is timed is real training, and what is reported is what was timed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from kdgap.benchmark import measure as measuring
from kdgap.benchmark.case import FEATURE, GRID, LOGIT, Case
from kdgap.benchmark.cases import CASES
from kdgap.benchmark.measure import ARMS, ENGINE, REFERENCE, EngineArm, build_arm, measure, spread
from kdgap.benchmark.reference_loop import ReferenceLoop
from kdgap.benchmark.table import run_cases
from kdgap.methods import build_method
from kdgap.methods.feature import StageProjections
from kdgap.models import Output
from kdgap.spec import ModelSpec
from kdgap.spec.validation import Scalar

SMALL = ModelSpec(name="resnet8", width=0.125)
TINY = Case("t", "tiny", SMALL, GRID, SMALL, steps=2, data="digits", batch_size=8)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_trains_every_run(name: str) -> None:
    arm = build_arm(TINY, name, "fp32")
    arm.warm_up()
    assert arm.round() > 0
    if isinstance(arm, EngineArm):
        assert [member.epoch for member in arm._members] == [1] * len(GRID)
        assert all(0 < share < 1 for share in arm.batch_shares)
        assert arm.saving_seconds() > 0
        assert arm.flops() > 0
    elif isinstance(arm, ReferenceLoop):
        before = [run.parameters[0].clone() for run in arm._runs]
        arm.round()
        for run, weight in zip(arm._runs, before, strict=True):
            assert not torch.equal(run.parameters[0], weight)


@pytest.mark.parametrize("students", [LOGIT, FEATURE])
def test_the_reference_loop_has_the_losses_of_the_methods(
    students: list[tuple[str, dict[str, Scalar]]],
) -> None:
    loop = ReferenceLoop(replace(TINY, students=students), narrow=False)
    run = loop._runs[0]
    name, parameters = students[0]
    method = build_method(name, parameters)
    g = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 8, 8, generator=g)
    assert loop._teacher is not None
    own = run.network(images, run.network.stages)
    other = loop._teacher(images, loop._teacher.stages)
    channels = {s: (own.features[s].shape[1], other.features[s].shape[1]) for s in own.features}
    projections = StageProjections(channels)
    for stage, projection in zip(own.features, run.projections, strict=False):
        parameter = projections.get_parameter(f"stages.{stage}.weight")
        parameter.data.copy_(projection.get_parameter("weight"))
    terms = method.terms(own, other, torch.zeros(4, dtype=torch.int64), projections)
    total = sum(term.weight * term.value for term in terms.values())
    torch.testing.assert_close(run.distil(own, other), total, rtol=1e-4, atol=1e-6)
    assert isinstance(other, Output)


def test_rounds_take_turns_and_are_all_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    built = {name: build_arm(TINY, name, "fp32") for name in ARMS}
    for name, arm in built.items():
        took = {"reference": 6.0, ENGINE: 2.0}.get(name, 3.0)
        monkeypatch.setattr(arm, "warm_up", lambda: None)

        def round(name: str = name, took: float = took) -> float:  # noqa: A001
            order.append(name)
            return took

        monkeypatch.setattr(arm, "round", round)
    engine = built[ENGINE]
    assert isinstance(engine, EngineArm)
    engine.batch_shares = [0.5]
    monkeypatch.setattr(measuring, "build_arm", lambda _case, name, _precision: built[name])
    found = measure(TINY, 3, "fp32")
    assert order[:3] != order[3:6]
    assert sorted(order[:3]) == sorted(ARMS)
    assert found["ratio"][REFERENCE] == {"median": 3.0, "min": 3.0, "max": 3.0}
    assert found["seconds_per_step"][ENGINE] == 1.0
    assert found["seconds"][REFERENCE] == [6.0, 6.0, 6.0]


def test_the_spread_is_over_rounds_not_over_sums() -> None:
    seconds = {REFERENCE: [4.0, 9.0, 4.0], ENGINE: [1.0, 3.0, 2.0]}
    assert spread(seconds, REFERENCE) == {"median": 3.0, "min": 2.0, "max": 4.0}


@pytest.fixture
def threads_kept() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_kept")
def test_the_account_is_strict_json_and_says_where_it_was_taken() -> None:
    found: dict[str, Any] = run_cases([CASES["f"]], 1, "fp32", 1, memory=True)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["environment"]["threads"] == 1
    assert found["matrix_flops_per_second"]["fp32"] > 0
    (case,) = found["cases"]
    assert (case["runs"], case["steps"]) == (1, CASES["f"].steps)
    # A process that imported torch holds 100 MB at least; this one's own peak is not theirs.
    assert all(1e8 < peak < 3e9 for peak in case["peak_memory_bytes"].values())


def test_the_grid_is_the_published_one() -> None:
    methods = [method for method, _ in CASES["a"].students]
    assert (methods.count("logit"), methods.count("feature"), methods.count("none")) == (9, 3, 1)
