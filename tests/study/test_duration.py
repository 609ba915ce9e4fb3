"""How long a study takes: what is timed, what follows from it, and that it comes out right."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdgap import yamlio
from kdgap.cli.study import worker
from kdgap.data import Shape
from kdgap.planning.cost import staged_cohorts
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.planning.planner import plan_study
from kdgap.planning.schedule import schedule
from kdgap.planning.tasks import START, Machine, Task, assumed_weights, cohort_tasks, run_tasks
from kdgap.planning.timing import BEYOND, Timings, at
from kdgap.spec.study_file import read_study
from kdgap.store.measured import KEPT_SIZES, KEPT_TIMES, keep_time, measured_folder, read_times
from kdgap.study import clock as clocks
from kdgap.study import duration
from kdgap.study.clock import Clock
from kdgap.study.doors import Doors
from kdgap.study.duration import expected_time
from kdgap.study.inputs import Inputs
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.e2e.study import study_text

SHAPE = Shape(10, 1, (8, 8), 1297, 500)
CPU = Machine(torch.device("cpu"), 1)
STUDY = """\
name: s
data: {name: digits, val_size: 297}
models:
  big: {name: resnet8, width: 0.5}
  little: {name: resnet8, width: 0.125}
recipe: {epochs: 3, batch_size: 128}
teachers: {recipe: {epochs: 5}}
pairs: [{teacher: big, student: little}]
methods:
  logit: {alpha: 0.5}
  feature: {}
finals: {seeds: [0, 1]}
"""


def planned(text: str = STUDY, overrides: Mapping[str, object] | None = None) -> Plan:
    return plan_study(*read_study(yamlio.parse(text, "s.yaml"), overrides or {}), {})


def all_tasks(plan: Plan) -> Counter[Task]:
    return sum((cohort_tasks(group, SHAPE) for group in staged_cohorts(plan)), Counter())


def group_of(plan: Plan) -> list[PlannedRun]:
    groups = staged_cohorts(plan)
    return next(g for g in groups if any(p.run.teacher for p in g))


# What is kept


def test_timings_are_kept_by_size_newest_last_and_bounded() -> None:
    for count in range(KEPT_TIMES + 3):
        keep_time("runs-step-x", 128, 1.0 + count)
    assert read_times("runs-step-x") == {128: [1.0 + n for n in range(3, KEPT_TIMES + 3)]}
    for size in (64, 32, 16, 96, 48):
        keep_time("runs-step-x", size, 2.0)
    kept = read_times("runs-step-x")
    assert len(kept) == KEPT_SIZES
    assert {48, 128} < set(kept)  # the newest and the largest
    assert len(list(measured_folder().iterdir())) == 1


@pytest.mark.parametrize(
    "values",
    [{"flops_per_second": 1e9, "seconds": 3.0}, {"128/0": -1.0}, {"128/0": 0.0}, {"x/0": 1.0}],
)
def test_what_is_no_timing_is_as_if_nothing_was_timed(values: dict[str, float]) -> None:
    from kdgap.store.measured import keep_measured

    keep_measured(measured_folder() / "runs-step-x.json", values)
    assert read_times("runs-step-x") == {}


def test_a_timing_that_was_changed_is_none() -> None:
    keep_time("runs-step-x", 128, 0.25)
    (path,) = measured_folder().iterdir()
    path.write_text(path.read_text().replace("0.25", "0.75"))
    assert read_times("runs-step-x") == {}


# What follows from timings at other sizes


def test_a_line_goes_through_the_two_nearest_sizes() -> None:
    timed = {32: [0.01 + 32e-4], 128: [0.01 + 128e-4], 4096: [9.0]}
    for size in (8, 64, 256):
        assert at(timed, size).mid == pytest.approx(0.01 + size * 1e-4)
    assert at(timed, 128).mid == 0.01 + 128e-4


def test_what_costs_the_same_at_two_sizes_costs_it_at_any() -> None:
    assert at({32: [0.005], 128: [0.005]}, 1024).mid == pytest.approx(0.005)
    assert at({32: [0.006], 128: [0.005]}, 1024).mid == pytest.approx(0.005)  # noise is no gain


def test_one_size_says_less_of_smaller_ones_and_its_range_says_so() -> None:
    span = at({100: [2.0]}, 10)
    assert span.low == pytest.approx(0.2)  # all of it images
    assert span.high == 2.0  # all of it overhead
    assert span.low < span.mid < span.high
    assert at({100: [2.0]}, 1000).mid == pytest.approx(20.0)


@given(
    st.dictionaries(
        st.integers(1, 1000), st.lists(st.floats(1e-6, 10), min_size=1, max_size=4), min_size=1
    ),
    st.integers(0, 2000),
)
def test_a_time_lies_in_its_range_and_is_never_negative(
    timed: dict[int, list[float]], size: int
) -> None:
    span = at(timed, size)
    assert 0 <= span.low <= span.mid * (1 + 1e-9)
    assert span.mid <= span.high * (1 + 1e-9)


def test_the_range_holds_what_was_seen() -> None:
    span = at({128: [1.0, 2.0, 4.0]}, 128)
    assert (span.low, span.mid, span.high) == (1.0, 2.0, 4.0)


# The tasks of a study


def test_a_run_takes_its_steps_validations_and_one_record() -> None:
    (teacher,) = planned().of_role("teacher")
    tasks = run_tasks([teacher], SHAPE)[teacher.id]
    assert (tasks.train, tasks.steps, tasks.full, tasks.last) == (1000, 8, 128, 1000 - 7 * 128)
    assert tasks.own() == {
        tasks.step(128): 5 * 7,
        tasks.step(104): 5,
        tasks.epoch: 4,
        tasks.validation: 5,
        tasks.record: 1,
    }
    assert tasks.validation.images == 297


def test_a_cohort_asks_its_teacher_once_whoever_is_in_it() -> None:
    group = group_of(planned())
    assert len(group) == 3  # both methods and the baseline
    counts = cohort_tasks(group, SHAPE)
    assert sum(n for task, n in counts.items() if task.part == "batch") == 3 * 8
    assert sum(n for task, n in counts.items() if task.part == "step") == 3 * 3 * 8
    assert sum(n for task, n in counts.items() if task.part == "test") == 3


def test_seeds_and_weights_of_terms_take_the_same_time() -> None:
    assert set(all_tasks(planned())) == set(all_tasks(planned(overrides={"finals.seeds": [5]})))
    assert set(all_tasks(planned())) == set(
        all_tasks(planned(overrides={"methods.logit.alpha": 0.9}))
    )


@pytest.mark.parametrize(
    "change",
    [
        {"models.little.width": 0.25},
        {"models.big.name": "resnet14"},
        {"precision": "bf16"},
        {"methods.feature.norm": "teacher_std"},
    ],
)
def test_what_changes_the_time_is_another_task(change: dict[str, object]) -> None:
    group, other = (group_of(plan) for plan in (planned(), planned(overrides=change)))
    assert set(cohort_tasks(group, SHAPE)) != set(cohort_tasks(other, SHAPE))


def test_runs_are_timed_for_a_number_of_workers_and_probes_are_alone() -> None:
    task = Task("step", "x", 1, 0.0)
    two, more = Machine(CPU.device, 1, 2), Machine(CPU.device, 2)
    assert task.stem(CPU, "runs") != task.stem(two, "runs")
    assert task.stem(CPU, "probe") == task.stem(two, "probe")
    assert task.stem(CPU, "probe") != task.stem(more, "probe")


# Their time


def keep_all(tasks: Sequence[Task], origin: str, seconds: float) -> None:
    for task in tasks:
        keep_time(task.stem(CPU, origin), task.images, seconds)


def test_the_time_of_a_study_is_the_sum_of_what_was_timed() -> None:
    counts = all_tasks(planned())
    assert len(Timings(CPU, counts).missing()) == len([t for t in counts if t.part != "test"])
    keep_all(list(counts), "runs", 0.5)
    timings = Timings(CPU, counts)
    assert timings.missing() == []
    total, shares = timings.of(counts)
    assert total.mid == pytest.approx(0.5 * counts.total())
    assert total.low == pytest.approx(total.mid / BEYOND["runs"])
    assert total.high == pytest.approx(total.mid * BEYOND["runs"])
    assert shares["runs"] == pytest.approx(total.mid)


def test_runs_are_believed_before_a_probe_unless_it_was_asked_for() -> None:
    counts = all_tasks(planned())
    keep_all(list(counts), "probe", 1.0)
    assert Timings(CPU, counts).of(counts)[1]["probe"] == counts.total()
    keep_all(list(counts), "runs", 2.0)
    assert Timings(CPU, counts).of(counts)[0].mid == pytest.approx(2.0 * counts.total())
    assert Timings(CPU, counts, fresh=True).of(counts)[0].mid == pytest.approx(counts.total())


def test_what_was_not_timed_is_placed_between_what_was() -> None:
    small, large = Task("step", "small", 10, 1.0), Task("step", "large", 10, 3.0)
    between, other = Task("step", "between", 10, 2.0), Task("validation", "v", 10, 2.0)
    keep_time(small.stem(CPU, "probe"), 10, 1.0)
    keep_time(large.stem(CPU, "probe"), 10, 2.0)
    timings = Timings(CPU, [small, large, between, other])
    span, origin = timings.seconds(between)
    assert origin == "neighbours"
    assert span.mid == pytest.approx(1.5)
    assert span.high / span.mid > BEYOND["neighbours"]
    assert timings.seconds(other)[1] == "assumed"


def test_steps_of_no_size_take_time_where_nothing_was_timed() -> None:
    """Tiny networks: 3 x 3 x 8 steps of hardly any FLOPs are not done at once."""
    counts = all_tasks(planned())
    total, shares = Timings(CPU, counts).of(counts)
    assert shares["assumed"] == total.mid
    steps = sum(n for task, n in counts.items() if task.part == "step")
    assert total.mid > steps * 1e-3


def test_the_weights_of_runs_follow_their_steps_not_their_flops_alone() -> None:
    plan = planned()
    weights = assumed_weights(staged_cohorts(plan), SHAPE)
    assert set(weights) == set(plan.runs)
    (teacher,) = plan.of_role("teacher")
    baseline = plan.of_role("baseline")[0]
    assert 5 / 3 < weights[teacher.id] / weights[baseline.id] < 4  # epochs; of FLOPs it is 25


# Several workers


def test_workers_wait_for_teachers_and_each_run_is_taken_once() -> None:
    plan = planned()
    turns = schedule(plan, plan, set(), 2, lambda group: float(len(group)))
    taken = [p.id for turn in turns for p in turn.group]
    assert sorted(taken) == sorted(plan.runs)
    (teacher,) = plan.of_role("teacher")
    end = next(turn.end for turn in turns if teacher in turn.group)
    for turn in turns:
        if any(p.teacher for p in turn.group):
            assert turn.end - len(turn.group) >= end


def test_finals_wait_for_selection() -> None:
    text = STUDY.replace("alpha: 0.5", "alpha: [0.3, 0.7]") + "selection: {seeds: [9]}\n"
    bare = planned(text)
    assert bare.open_slots
    winners = {key: choice.candidates[0] for choice in bare.choices for key in [choice.key]}
    full = plan_study(*read_study(yamlio.parse(text, "s.yaml"), {}), winners)
    turns = schedule(bare, full, set(), 2, lambda group: 1.0)
    selected = max(t.end for t in turns if any("selection" in p.roles for p in t.group))
    opened = [t.end for t in turns if any(p.id not in bare.runs for p in t.group)]
    assert opened
    assert min(opened) - 1.0 >= selected


def test_two_workers_take_less_time_than_one_and_no_less_than_half() -> None:
    plan = planned(overrides={"finals.seeds": [0, 1, 2, 3]})
    ends = [
        max(t.end for t in schedule(plan, plan, set(), workers, lambda group: float(len(group))))
        for workers in (1, 2)
    ]
    assert ends[0] / 2 <= ends[1] < ends[0]


# The clock


class Ticks:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(clocks, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def after(self, seconds: float, act: Callable[..., object], *words: object) -> None:
        self.now += seconds
        act(*words)


def test_the_clock_books_each_part_where_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    group = group_of(planned())[:2]
    clock = Clock(group, SHAPE, lambda: None)
    hands = [clock.watch(p.id) for p in group]
    first, second = (run_tasks(group, SHAPE)[p.id] for p in group)
    ticks.after(3.0, clock.share)
    clock.begin()
    for epoch in (1, 2, 3):
        for step in range(1, 9):
            ticks.after(0.5, clock.pause)  # images and the teacher
            ticks.after(2.0 + (step == 1), hands[0].on_step, epoch, step, 8)
            ticks.after(0.0, clock.pause)
            ticks.after(4.0 + (step == 1), hands[1].on_step, epoch, step, 8)
        ticks.after(10.0, hands[0].on_epoch, {})
        ticks.after(20.0, hands[1].on_epoch, {})
    ticks.after(7.0, hands[0].on_finish, {"best_val_acc": 1.0})
    ticks.after(8.0, hands[1].on_finish, {"best_val_acc": 1.0})
    times = clock.means()
    assert times[first.batch(128)] == times[first.batch(104)] == pytest.approx(0.5)
    assert times[first.step(128)] == times[first.step(104)] == pytest.approx(2.0)
    assert times[second.step(128)] == pytest.approx(4.0)
    assert times[first.epoch] == times[second.epoch] == pytest.approx(1.0)
    assert times[first.validation] == pytest.approx(15.0)  # both networks are the same
    assert times[first.record] == pytest.approx((1.5 + 1 + 7 + 1.5 + 1 + 8) / 2)
    done = cohort_tasks(group, SHAPE)
    total = sum(times[task] * n for task, n in done.items() if task.part != "test")
    assert total == pytest.approx(ticks.now)  # nothing is lost, nothing counted twice


def test_a_run_that_failed_tells_no_time_of_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    group = group_of(planned())[:1]
    clock = Clock(group, SHAPE, lambda: None)
    ticks.after(1.0, clock.watch(group[0].id).on_finish, None)
    assert clock.means() == {}


def test_a_run_that_failed_at_its_second_step_ends_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = Ticks(monkeypatch)
    group = [p for p in group_of(planned()) if p.run.method.name == "logit"][:1]
    group += [p for p in group_of(planned()) if p.run.method.name == "feature"][:1]
    clock = Clock(group, SHAPE, lambda: None)
    failing, other = (clock.watch(p.id) for p in group)
    clock.begin()
    for step in range(1, 9):
        ticks.after(0.5, clock.pause)
        if step == 1:
            ticks.after(2.0, failing.on_step, 1, step, 8)
            ticks.after(0.0, clock.pause)
        ticks.after(4.0, other.on_step, 1, step, 8)
    failing.on_finish(None)
    ticks.after(20.0, other.on_epoch, {})
    first, second = (run_tasks(group, SHAPE)[p.id] for p in group)
    assert clock.means()[second.step(128)] == pytest.approx(4.0)
    assert first.step(128) not in clock.means()


def test_an_old_process_tells_nothing_of_how_long_a_start_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    created = psutil.Process().create_time()
    ages = []
    for age in (3.0, 2 * clocks.OLD_SECONDS):
        now = created + age
        monkeypatch.setattr(clocks, "time", SimpleNamespace(time=lambda now=now: now))
        ages.append(clocks.process_age())
    assert ages == [pytest.approx(3.0), None]


# Timed for real


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    file = tmp_path / "study.yaml"
    changes: dict[str, Any] = {
        "methods": {"logit": {}},
        "data": {"name": "digits", "limit": 128},
        "selection": None,
    }
    file.write_text(study_text(**changes))
    return open_study(file, {}, tmp_path / "study")


def expected(workspace: Any, measure: bool | None = None, **about: Any) -> dict[str, Any]:
    plan, _ = workspace.plan()
    machine = Machine(CPU.device, 1, about.pop("workers", 1))
    return expected_time(plan, plan, workspace.shape(), set(), machine, measure=measure, **about)


def test_a_probe_times_what_was_never_timed_and_leaves_nothing_but_that(
    workspace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    remarks: list[str] = []
    assert "assumed" in expected(workspace, say=remarks.append)["time_source"]
    assert remarks == []
    monkeypatch.setattr(duration, "SHORT_SECONDS", 60.0)  # is never broken off
    drawn, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    ahead = expected(workspace, say=remarks.append, started=1.0)
    assert len(remarks) == 1
    assert "a few steps timed on this machine" in ahead["time_source"]
    assert "assumed" not in ahead["time_source"]
    assert 0 < ahead["seconds_low"] < ahead["seconds"] < ahead["seconds_high"]
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert list((tmp_path / "scratch").glob("kdgap*")) == []
    assert not (tmp_path / "study").exists()
    again = expected(workspace, say=remarks.append)  # from the cache
    assert len(remarks) == 1
    assert again["seconds"] == pytest.approx(ahead["seconds"])
    alone, two = (expected(workspace, workers=workers)["seconds"] for workers in (1, 2))
    assert two < alone


def test_a_study_that_was_trained_tells_the_time_of_the_next(workspace: Any) -> None:
    directory = start_study(workspace, lambda _: None)
    begun = time.perf_counter()
    Worker(workspace, "cpu", started=1.0).work()
    took = time.perf_counter() - begun
    ahead = expected(workspace)
    assert ahead["time_source"] == "earlier runs on this machine"
    plan, _ = workspace.plan()
    counts: Counter[Task] = Counter()
    for group in staged_cohorts(plan):
        counts += cohort_tasks(group, workspace.shape())
    timings = Timings(CPU, {START, *counts})
    assert timings.missing() == []
    assert 0 < timings.of(counts)[0].mid < 2 * took
    plan_file = json.loads((directory.path / "plan.json").read_text())
    assert all(run["seconds"] > 0 for run in plan_file["runs"])


# What a start takes


STARTS = START.stem(CPU, "runs")


@pytest.fixture
def age(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The age of the process, in seconds; what waits makes it older by 100."""
    age = [3.0]
    now = lambda: psutil.Process().create_time() + age[0]  # noqa: E731
    monkeypatch.setattr(clocks, "time", SimpleNamespace(time=now, perf_counter=time.perf_counter))
    return age


def test_a_start_is_over_before_a_worker_waits_for_the_teacher_of_another(
    workspace: Any, age: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = start_study(workspace, lambda _: None)
    plan, _ = workspace.plan()
    teachers = [planned for planned in plan.runs.values() if planned.roles == ["teacher"]]
    held = [directory.run(planned.path).try_lock() for planned in teachers]
    assert held
    waits = []

    def wait(seconds: float) -> None:
        age[0] += 100.0
        waits.append(seconds)
        while held:
            lock = held.pop()
            assert lock is not None
            lock.release()

    monkeypatch.setattr("kdgap.study.worker.time", SimpleNamespace(sleep=wait))
    # Nothing of their own is free before: baselines are trained after the teachers alone.
    worker(directory.path, device="cpu", only=["teachers"])
    assert waits
    assert all(directory.run(planned.path).is_done() for planned in teachers)
    ((size, (seconds,)),) = read_times(STARTS).items()
    assert size == 1
    assert seconds == pytest.approx(3.0)


def test_a_worker_in_a_process_that_does_other_things_tells_nothing_of_a_start(
    workspace: Any, age: list[float]
) -> None:
    start_study(workspace, lambda _: None)
    Worker(workspace, "cpu", ["teachers"]).work()
    kept = [path.name for path in measured_folder().glob("*.json")]
    assert any(name.startswith("runs-run-") for name in kept)
    assert not any(name.startswith("runs-start-") for name in kept)


def test_what_was_kept_of_starts_that_waited_is_not_read() -> None:
    keep_time(Task("start", "", 1, 0.0).stem(CPU, "runs"), 1, 127.0)
    span, origin = Timings(CPU, {START}).seconds(START)
    assert origin == "assumed"
    assert span.mid < 127.0


def test_every_cohort_s_set_up_is_booked_on_its_runs(
    workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[Clock] = []
    begun: list[Clock] = []
    for name, kept in (("share", shared), ("begin", begun)):
        true = getattr(Clock, name)
        note = lambda clock, true=true, kept=kept: (kept.append(clock), true(clock))  # noqa: E731
        monkeypatch.setattr(Clock, name, note)
    start_study(workspace, lambda _: None)
    Worker(workspace, "cpu", ["teachers"]).work()
    assert shared == begun != []


def test_data_that_a_worker_loads_to_test_is_not_booked_on_the_test(
    workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_study(workspace, lambda _: None)
    opened = Doors.open
    monkeypatch.setattr(Doors, "open", lambda *_: False)
    Worker(workspace, "cpu").work()
    assert not any(path.name.startswith("runs-test-") for path in measured_folder().iterdir())
    monkeypatch.setattr(Doors, "open", opened)
    ticks, load = [0.0], Inputs.dataset

    def loading(inputs: Inputs, planned: PlannedRun) -> Any:
        ticks[0] += 0.0 if inputs._datasets else 1000.0
        return load(inputs, planned)

    monkeypatch.setattr(Inputs, "dataset", loading)
    clock = SimpleNamespace(perf_counter=lambda: ticks[0] + time.perf_counter())
    monkeypatch.setattr("kdgap.study.doors.time", clock)
    Worker(workspace, "cpu").work()
    kept = [path for path in measured_folder().iterdir() if path.name.startswith("runs-test-")]
    assert ticks == [1000.0]
    assert kept
    for path in kept:
        assert all(s < 1000.0 for listed in read_times(path.stem).values() for s in listed)
