"""How much of a study is trained, and how long the rest takes, are said honestly or not at all."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap.files import write_json
from kdgap.spec.identity import run_id
from kdgap.store.pace import LEAST_SECONDS, PACE_SECONDS, TIMED_RUNS, Pace, Work, work_of
from kdgap.store.progress import Row, Survey, survey
from kdgap.store.record import FAILURE, RUN
from kdgap.store.run_files import TIMING, RunFiles
from kdgap.store.study import PLAN, StudyDirectory
from tests.store import small

DONE, HALF = ("done", 1.0), ("interrupted", 0.5)


def seen(
    *states: tuple[str, float], flops: float = 100.0, open_runs: int = 0, open_flops: float = 0.0
) -> Survey:
    rows = [
        Row(str(number), f"run{number}", ["final"], "slot", 0, state, "", flops, trained)
        for number, (state, trained) in enumerate(states)
    ]
    return Survey(rows, [], open_runs, open_flops)


def runner(*, when: float = 0.0, **runs: Any) -> dict[str, Any]:
    """A live file: a run's name → its epoch of 2 and its step of 10."""
    at = {
        name.removeprefix("run"): {"epoch": epoch, "epochs": 2, "step": step, "steps": 10}
        for name, (epoch, step) in runs.items()
    }
    return {"when": when, "phase": "training", "runs": at}


# The share


def test_the_share_counts_flops_of_runs_epochs_and_steps() -> None:
    work = work_of(seen(DONE, HALF, ("running", 0.5), ("new", 0.0)), [runner(run2=(2, 5))])
    assert (work.done, work.left, work.unit) == (100 + 50 + 75, 50 + 25 + 100, "FLOPs")
    assert work.share == 225 / 400
    assert work.active


def test_the_share_counts_assumed_seconds_where_the_plan_has_them() -> None:
    """A teacher of 100 times the FLOPs takes 3 times as long: it is no 99 % of the study."""
    rows = [
        Row("0", "run0", ["teacher"], "slot", 0, "done", "", 1e12, 1.0, seconds=3.0),
        Row("1", "run1", ["final"], "slot", 0, "new", "", 1e10, 0.0, seconds=1.0),
    ]
    work = work_of(Survey(rows, [], 1, 1e10, open_seconds=2.0), [])
    assert (work.done, work.left, work.unit) == (3.0, 3.0, "seconds")
    before = [Row(**{**vars(row), "seconds": 0.0}) for row in rows]
    assert work_of(Survey(before, [], 1, 1e10), []).unit == "FLOPs"  # a plan of before


def test_open_runs_are_left() -> None:
    assert work_of(seen(DONE, open_runs=3, open_flops=300.0), []).share == 0.25
    assert work_of(seen(DONE, flops=0.0, open_runs=3), []).share == 0.25


def test_without_every_cost_all_runs_count_alike() -> None:
    mixed = seen(DONE, ("new", 0.0))
    rows = [mixed.rows[0], Row(**{**vars(mixed.rows[1]), "flops": 0.0})]
    work = work_of(Survey(rows, [], 2, 1e12), [])
    assert (work.done, work.left, work.unit) == (1.0, 3.0, "runs")


@pytest.mark.parametrize("state", ["failed", "damaged", "blocked"])
def test_what_nobody_will_train_is_not_left(state: str) -> None:
    assert work_of(seen(DONE, (state, 0.0)), []) == Work(100.0, 0.0, "FLOPs", False)
    assert work_of(seen((state, 0.0)), []).share == 1.0


def test_a_finished_run_that_a_live_file_still_names_counts_once() -> None:
    assert work_of(seen(DONE), [runner(run0=(2, 9))]).share == 1.0


def test_of_two_runners_the_one_who_spoke_last_is_believed() -> None:
    old, new = runner(when=1.0, run0=(2, 9)), runner(when=2.0, run0=(1, 1))
    for order in ([old, new], [new, old]):
        assert work_of(seen(("running", 0.0)), order).share == 0.05


@pytest.mark.parametrize(
    "runs",
    [
        None,
        ["0"],
        {"0": None},
        {"0": {}},
        {"0": {"epoch": 1, "epochs": 0, "step": 1, "steps": 10}},
        {"0": {"epoch": "1", "epochs": 2, "step": 1, "steps": 10}},
        {"9": {"epoch": 1, "epochs": 2, "step": 1, "steps": 10}},
        {"0": {"epoch": -9, "epochs": 2, "step": 1, "steps": 10}},
        {"0": {"epoch": 1, "epochs": 2, "step": float("nan"), "steps": 10}},
    ],
)
def test_a_live_file_that_says_nonsense_adds_nothing(runs: Any) -> None:
    assert work_of(seen(("running", 0.0)), [{"when": 1.0, "runs": runs}]).share == 0.0


def test_a_survey_reads_how_much_of_a_run_is_trained(tmp_path: Any) -> None:
    directory = StudyDirectory(tmp_path)
    slot = {"role": "final", "teacher": None, "student": "s", "method": "none", "variant": ""}
    planned = {"cell": "", "teacher": None, "roles": ["final"], "slots": [slot]}
    specs = [small.spec("baseline", seed) for seed in range(3)]
    paths = [f"runs/slot/{spec.seed}-{run_id(spec)[:8]}" for spec in specs]
    runs = [
        {**planned, "id": run_id(spec), "path": path, "seed": spec.seed}
        for spec, path in zip(specs, paths, strict=True)
    ]
    keys = {"selection_complete": True, "winners": [], "notices": []}
    plan = {"study": small.asked(), "runs": runs, "open_runs": 0, "open_flops": 0, **keys}
    directory.write(PLAN, plan)
    for spec, path in zip(specs[:2], paths[:2], strict=True):
        directory.run(path).start(small.header(spec))
        directory.run(path).append_history({"epoch": 1})
    (directory.run(paths[1]).path / RUN).write_text("{}")
    assert [row.trained for row in survey(directory).rows] == [0.01, 0.0, 0.0]
    write_json(directory.run(paths[0]).path / FAILURE, {"reason": "no luck"})
    assert [row.trained for row in survey(directory).rows] == [0.0, 0.0, 0.0]


# The time left


def left_at(
    pace: Pace,
    now: float,
    done: float,
    *,
    total: float = 100.0,
    active: bool = True,
    runs: bool = False,
) -> float | None:
    """What is left to do when one run of cost 100 is trained so far, and the rest is not open."""
    rows = seen(("running" if active else "new", done / 100), flops=0.0 if runs else 100.0).rows
    survey = Survey(rows, [], 0, total - 100.0)
    return pace.left(now, survey, work_of(survey, []))


def test_who_has_just_arrived_does_not_know() -> None:
    pace = Pace()
    assert left_at(pace, 1000.0, 98.0) is None
    assert left_at(pace, 1000.0 + LEAST_SECONDS / 2, 98.5) is None


def test_the_pace_is_what_was_seen_and_not_what_was_done_before() -> None:
    pace = Pace()
    left_at(pace, 0.0, 98.0)
    assert left_at(pace, 10.0, 99.0) == pytest.approx(10.0)
    assert left_at(pace, 20.0, 100.0) == 0.0


def test_nothing_is_known_while_nothing_moves() -> None:
    pace = Pace()
    assert [left_at(pace, float(now), 10.0) for now in range(0, 1000, 10)] == [None] * 100


def test_a_study_that_is_done_has_no_time_left_whoever_looks() -> None:
    assert left_at(Pace(), 0.0, 100.0, active=False) == 0.0


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"done": 5.0}, id="a run began again"),
        pytest.param({"done": 20.0, "active": False}, id="everybody stopped"),
        pytest.param({"done": 20.0, "runs": True}, id="another unit"),
    ],
)
def test_the_pace_begins_anew_after_what_is_no_pace(broken: dict[str, Any]) -> None:
    pace = Pace()
    left_at(pace, 0.0, 10.0)
    assert left_at(pace, 10.0, 20.0) == pytest.approx(80.0)
    assert left_at(pace, 11.0, **broken) is None
    assert left_at(pace, 5000.0, 30.0) is None
    assert left_at(pace, 5010.0, 31.0) == pytest.approx(690.0)


def test_a_run_that_began_again_is_no_slower_for_it() -> None:
    pace = Pace()
    left_at(pace, 0.0, 10.0)
    left_at(pace, 10.0, 5.0)
    assert left_at(pace, 20.0, 15.0) == pytest.approx(85.0)


def test_an_earlier_stage_is_forgotten() -> None:
    pace = Pace()
    for now in range(0, 600, 10):
        left_at(pace, float(now), now / 10, total=1000.0)
    for now in range(600, 600 + 2 * int(PACE_SECONDS), 10):
        seconds = left_at(pace, float(now), 60 + (now - 600) / 100, total=1000.0)
    assert seconds == pytest.approx((1000 - 60 - 11.9) * 100, rel=0.01)


def test_winners_that_are_chosen_change_what_is_left_and_not_the_pace() -> None:
    pace = Pace()
    left_at(pace, 0.0, 10.0)
    assert left_at(pace, 10.0, 20.0, total=220.0) == pytest.approx(200.0)


@given(st.lists(st.tuples(st.floats(0, 700), st.floats(0, 100), st.booleans()), max_size=30))
def test_the_time_left_is_never_negative(steps: list[tuple[float, float, bool]]) -> None:
    pace, now = Pace(), 0.0
    for seconds, done, active in steps:
        now += seconds
        left = left_at(pace, now, done, active=active)
        assert left is None or left >= 0


def test_a_steady_study_is_foretold_exactly() -> None:
    pace = Pace()
    forecasts = [left_at(pace, float(now), now / 10) for now in range(0, 1001, 10)]
    known = [left for left in forecasts if left is not None]
    assert known == pytest.approx([1000.0 - now for now in range(10, 1001, 10)])
    assert all(a > b for a, b in pairwise(known))


def keep_timing(row: Row, **timing: object) -> None:
    Path(row.path).mkdir()
    write_json(Path(row.path) / TIMING, {"attempts": 1, "together": 1, **timing})


class Timed:
    """A study of a teacher and students of two configurations, as far as a display knows it."""

    def __init__(self, folder: Path, seeds: int = 4) -> None:
        self._folder = folder
        self.rows = [self._row("teacher", 0, "t", 4.0)]
        for kind in ("plain", "distilled"):
            self.rows += [self._row(kind, seed, kind, 1.0) for seed in range(seeds)]

    def _row(self, name: str, seed: int, configuration: str, seconds: float) -> Row:
        path = str(self._folder / f"{name}{seed}")
        of = (f"{name}{seed}", path, ["final"], name, seed, "new", "", 1.0, 0.0)
        return Row(*of, seconds=seconds, configuration=configuration)

    def done(self, kind: str, **timing: object) -> None:
        for number, row in enumerate(self.rows):
            if row.slot == kind:
                self.rows[number] = replace(row, state="done", trained=1.0)
                keep_timing(row, **timing)

    def left(self, pace: Pace, now: float, open_seconds: float = 0.0) -> float | None:
        survey = Survey(self.rows, [], 1, 1.0, open_seconds=open_seconds)
        return pace.left(now, survey, replace(work_of(survey, []), active=True))


def test_runs_weigh_what_runs_like_them_took(tmp_path: Path) -> None:
    """The plan takes a teacher for four students. It took as long as one, and says so."""
    study, pace = Timed(tmp_path), Pace()
    study.left(pace, 0.0)
    study.done("teacher", seconds=10.0)
    study.done("plain", seconds=40.0, together=4)
    # 10 for the teacher and 10 for each of four, in the 50 seconds of one worker; the others are
    # assumed to be as long as the plain ones, and each was ten times as long or 2.5 times.
    ratio = (10.0 / 4.0 + 10.0) / 2
    assert study.left(pace, 50.0) == pytest.approx(4 * ratio)
    assert study.left(pace, 50.0, open_seconds=3.0) == pytest.approx(7 * ratio)
    study.rows[5:6] = [replace(study.rows[5], state="done", trained=1.0)]
    keep_timing(study.rows[5], seconds=30.0)
    assert study.left(pace, 80.0) == pytest.approx(90.0)  # now it is known of them, too


def test_what_no_run_like_it_has_ended_is_foretold_by_its_own_pace(tmp_path: Path) -> None:
    """The teacher took what was assumed of it; its students take three times that."""
    study, pace = Timed(tmp_path), Pace()
    for now in range(5):
        study.rows[0] = replace(study.rows[0], trained=now / 4, state="running")
        study.left(pace, float(now))
    study.done("teacher", seconds=4.0)
    for now in range(5, 17):
        for number in range(1, 5):
            trained = (now - 5) / 12
            study.rows[number] = replace(study.rows[number], trained=trained, state="running")
        left = study.left(pace, float(now))
    assert left == pytest.approx(1.0 + 12.0)


def test_a_configuration_that_left_the_plan_is_forgotten(tmp_path: Path) -> None:
    study, pace = Timed(tmp_path), Pace()
    study.left(pace, 0.0)
    study.done("plain", seconds=10.0)
    assert study.left(pace, 50.0) is not None
    study.rows = [row for row in study.rows if row.slot != "plain"]
    study.left(pace, 60.0)
    study.done("teacher", seconds=8.0)
    assert study.left(pace, 70.0) == pytest.approx(4 * 2.0 * 70.0 / 8.0)


@pytest.mark.parametrize(
    "timing",
    [
        {},
        {"seconds": None},
        {"seconds": 10.0, "attempts": 2},
        {"seconds": 10.0, "attempts": None},
        {"seconds": 10.0, "together": None},
        {"seconds": 10.0, "together": 0},
        {"seconds": "10"},
        {"seconds": -1.0},
    ],
)
def test_a_timing_that_says_nothing_of_a_run_leaves_what_the_plan_assumes(
    timing: dict[str, object], tmp_path: Path
) -> None:
    study, pace = Timed(tmp_path), Pace()
    study.left(pace, 0.0)
    study.done("teacher", **timing)
    assert study.left(pace, 50.0) == pytest.approx(8 * 50.0 / 4.0)


def test_few_runs_are_asked_how_long_they_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, pace, asked = Timed(tmp_path, seeds=3 * TIMED_RUNS), Pace(), list[Path]()
    read = RunFiles.timing

    def noted(run: RunFiles) -> dict[str, Any] | None:
        asked.append(run.path)
        return read(run)

    monkeypatch.setattr(RunFiles, "timing", noted)
    study.done("plain", seconds=10.0)
    for now in range(3):
        study.left(pace, float(now))
    assert len(asked) == len(set(asked)) == TIMED_RUNS
