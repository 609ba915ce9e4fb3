"""What is timed is real training, and what is reported is what was timed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
import torch

from kdgap.benchmark.arm_process import ARMS, ENGINE, REFERENCE, ArmProcess
from kdgap.benchmark.case import FEATURE, GRID, LOGIT, Case
from kdgap.benchmark.cases import CASES
from kdgap.benchmark.engine_arm import EngineArm
from kdgap.benchmark.measure import measure, spread
from kdgap.benchmark.reference_loop import ReferenceLoop
from kdgap.benchmark.table import run_cases
from kdgap.errors import RunFailedError
from kdgap.methods import Step, build_method
from kdgap.methods.feature import stage_projections
from kdgap.models.output import Output
from kdgap.models.taps import Taps
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec
from kdgap.spec.validation import Scalar

SMALL = ModelSpec(name="resnet8", width=0.125)
TINY = Case("t", "tiny", SMALL, GRID, SMALL, steps=2, data="digits", batch_size=8)


def test_the_engine_trains_every_run() -> None:
    arm = EngineArm(TINY, "fp32")
    arm.warm_up()
    assert arm.round() > 0
    assert [member.epoch for member in arm._members] == [1] * len(GRID)
    account = arm.account()
    assert 0 < account["batch_share"] < 1
    assert account["saving_seconds"] > 0
    assert account["flops"] > 0


@pytest.mark.parametrize("narrow", [False, True])
def test_the_reference_loop_trains_every_run(
    *, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = ReferenceLoop(TINY, narrow=narrow)
    trained, build = [], loop.run

    def run(spec: RunSpec) -> Any:
        started = build(spec)
        trained.append((started, [p.detach().clone() for p in started.parameters]))
        return started

    monkeypatch.setattr(loop, "run", run)
    assert loop.round() > 0
    assert [run.spec.method for run, _ in trained] == [r.method for r in TINY.runs("fp32")]
    for run_, before in trained:
        # A projection of a stage that the loss does not reach would stay as it was.
        assert not any(map(torch.equal, run_.parameters, before))


@pytest.mark.parametrize("students", [LOGIT, FEATURE])
def test_the_reference_loop_has_the_losses_of_the_methods(
    students: list[tuple[str, dict[str, Scalar]]],
) -> None:
    loop = ReferenceLoop(replace(TINY, students=students), narrow=False)
    run = loop.run(loop._specs[0])
    name, parameters = students[0]
    method = build_method(name, parameters)
    g = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 8, 8, generator=g)
    assert loop._teacher is not None
    own = run.network(images, Taps(maps=run.network.stages))
    other = loop._teacher(images, Taps(maps=loop._teacher.stages))
    channels = {s: (own.features[s].shape[1], other.features[s].shape[1]) for s in own.features}
    projections = stage_projections(channels)
    for stage, projection in zip(own.features, run.projections, strict=False):
        parameter = projections.get_parameter(f"stages.{stage}.weight")
        parameter.data.copy_(projection.get_parameter("weight"))
    terms = method.terms(
        own, other, Step(torch.zeros(4, dtype=torch.int64), torch.arange(4)), projections
    )
    total = sum(term.weight * term.value for term in terms.values())
    torch.testing.assert_close(run.distil(own, other), total, rtol=1e-4, atol=1e-6)
    assert isinstance(other, Output)


def test_rounds_take_turns_and_are_all_reported() -> None:
    order: list[str] = []

    class Scripted(ArmProcess):
        def __init__(self, _case: Case, arm: str, *_: object) -> None:
            self.name = arm
            order.append(f"{self.name} starts")

        def __exit__(self, *_: object) -> None:
            order.append(f"{self.name} is gone")

        def warm_up(self) -> None:
            order.append(f"{self.name} warms up")

        def round(self) -> float:
            order.append(self.name)
            return {REFERENCE: 6.0, ENGINE: 2.0}.get(self.name, 3.0)

        def account(self) -> dict[str, Any]:
            order.append(f"{self.name} accounts")
            own = {"batch_share": 0.5, "saving_seconds": 1.2, "flops": 8.0}
            return {"peak_memory_bytes": len(self.name), **(own if self.name == ENGINE else {})}

    measurement = measure(CASES["f"], 3, "fp32", 1, Scripted)
    # Starting overlaps, so that a quick comparison is quick; none is timed beside another's start.
    assert order[:3] == [f"{name} starts" for name in ARMS]
    assert order[3:6] == [f"{name} warms up" for name in ARMS]
    del order[:6]
    assert order[:3] != order[3:6]
    for number in (0, 3, 6):
        assert sorted(order[number : number + 3]) == sorted(ARMS)
    # An account may take time and memory, so it comes after every round.
    assert order[9:12] == [f"{name} accounts" for name in ARMS]
    assert sorted(order[12:]) == sorted(f"{name} is gone" for name in ARMS)
    assert measurement["ratio"][REFERENCE] == {"median": 3.0, "min": 3.0, "max": 3.0}
    assert measurement["seconds_per_step"][ENGINE] == 2.0 / CASES["f"].steps
    assert measurement["seconds"][REFERENCE] == [6.0, 6.0, 6.0]
    assert measurement["flops_per_second"] == 4.0
    assert measurement["saving_share"] == 0.01
    assert measurement["peak_memory_bytes"] == {name: len(name) for name in ARMS}


def test_an_arm_that_dies_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        ArmProcess(replace(TINY, key="nowhere"), ENGINE, "fp32", 1) as arm,
        pytest.raises(RunFailedError, match="case nowhere, engine: its process ended with 1"),
    ):
        arm.warm_up()
    assert "KeyError: 'nowhere'" in capfd.readouterr().err


def test_an_arm_that_dies_while_it_waits_is_named() -> None:
    with ArmProcess(CASES["f"], ENGINE, "fp32", 1) as arm:
        arm._process.kill()
        arm._process.wait()
        with pytest.raises(RunFailedError, match="case f, engine: its process ended with -9"):
            arm.round()


def test_an_arm_leaves_no_process_behind() -> None:
    with ArmProcess(CASES["f"], REFERENCE, "fp32", 1) as arm:
        arm.warm_up()
        family = psutil.Process(arm._process.pid).children(recursive=True)
        assert family  # the loader's
    _, alive = psutil.wait_procs(family, timeout=300)
    assert alive == []


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
    account: dict[str, Any] = run_cases([replace(CASES["f"], steps=12)], 1, "fp32", 1)
    assert json.loads(json.dumps(account, allow_nan=False)) == account
    assert account["environment"]["threads"] == 1
    assert account["matrix_flops_per_second"]["fp32"] > 0
    (case,) = account["cases"]
    assert (case["runs"], case["steps"]) == (1, 12)
    # A process that imported torch holds 100 MB at least; this one's own peak is not theirs.
    assert all(1e8 < peak < 3e9 for peak in case["peak_memory_bytes"].values())


def test_the_grid_is_the_published_one() -> None:
    methods = [method for method, _ in CASES["a"].students]
    assert (methods.count("logit"), methods.count("feature"), methods.count("none")) == (9, 3, 1)
