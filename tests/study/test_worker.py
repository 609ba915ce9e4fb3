"""A study is done as its plan says: in order, once, with equal bits whoever does it."""

import os
import shutil
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from PIL import Image

from kdgap import disk
from kdgap.engine.evaluate import predict
from kdgap.engine.student import Student
from kdgap.errors import (
    BadInputError,
    RunFailedError,
    StoppedError,
    TeacherError,
)
from kdgap.files import TEMPORARY_PREFIX
from kdgap.judge.study_evidence import study_evidence
from kdgap.notice import shorts
from kdgap.planning.cost import staged_cohorts
from kdgap.planning.fit import check_trainable
from kdgap.running.door import validated
from kdgap.running.evaluation import open_recorded
from kdgap.running.training import Attempt, train_attempts
from kdgap.spec.identity import run_id
from kdgap.spec.slot import Slot
from kdgap.store.notices import of_plan
from kdgap.store.progress import removable, survey
from kdgap.store.record import BEST, LAST
from kdgap.store.seal import read_sealed, write_sealed
from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import Workspace, open_study, plan_data, start_study
from tests.e2e.study import contents
from tests.judge.builders import analyse
from tests.study.conftest import Finished, Open, Work, results, runs

EVERY = {"teacher": 1, "selection": 4, "baseline": 2, "final": 4}


def states(directory: StudyDirectory) -> dict[str, int]:
    rows = survey(directory).rows
    return {state: sum(r.state == state for r in rows) for state in {r.state for r in rows}}


def test_a_study_is_done_to_its_end(finished: Finished) -> None:
    directory = finished()
    assert states(directory) == {"done": 11}
    assert {role: len(runs(directory, role)) for role in EVERY} == EVERY
    plan, selection = directory.plan(), directory.selection()
    assert plan["selection_complete"]
    assert plan["open"] == []
    assert selection is not None
    assert [choice["tried"] for choice in selection["choices"]] == [2, 2]
    assert not list(directory.path.glob("runs/*/*/state-*"))


def test_the_winner_has_the_best_validation_accuracy(finished: Finished) -> None:
    directory = finished()
    by_id = {run["id"]: results(directory, run) for run in runs(directory, "selection")}
    selection = directory.selection()
    assert selection is not None
    for choice in selection["choices"]:
        scores = [by_id[c["runs"][0]]["best_val_acc"] for c in choice["candidates"]]
        assert [c["score"] for c in choice["candidates"]] == scores
        best = scores.index(max(scores))  # a tie goes to the first
        assert choice["winner"] == choice["candidates"][best]["parameters"]
        finals = [
            r for r in runs(directory, "final") if r["slots"][0]["method"] == choice["method"]
        ]
        assert all(run["parameters"] == choice["winner"] for run in finals)


def test_selection_never_sees_the_test_images_and_keeps_no_weights(finished: Finished) -> None:
    directory = finished()
    for run in runs(directory, "selection"):
        folder = directory.path / run["path"]
        assert results(directory, run)["test_acc_best"] is None
        assert not (folder / "test.json").exists()
        assert not (folder / BEST).exists()
        assert directory.record(run["path"]).id == run["id"]  # and still verifies


def test_the_door_opens_when_selection_is_over_and_not_before(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bool] = []

    def watched(prepared: Any, directory: Any, *args: Any, **options: Any) -> None:
        study = StudyDirectory(directory.path.parents[2])
        selection = study.selection()
        opened.append(selection is not None and all(c["winner"] for c in selection["choices"]))
        open_recorded(prepared, directory, *args, **options)

    monkeypatch.setattr("kdgap.study.doors.open_recorded", watched)
    worked(stages=("teachers", "selection"))
    assert opened == [True]  # the teacher's, at the end of selection
    directory = worked()
    assert opened == [True] * 7
    assert directory.locked("preregistration") is not None


def test_finals_record_the_fidelity_of_student_and_baseline(finished: Finished) -> None:
    directory = finished()
    teacher = directory.record(runs(directory, "teacher")[0]["path"])
    baselines = {run["seed"]: run for run in runs(directory, "baseline")}
    for run in runs(directory, "final"):
        test = directory.record(run["path"]).test
        assert test is not None
        assert test["role"] == "final"
        assert test["teacher"]["weight_hash"] == teacher.results["weight_hash_best"]
        baseline = baselines[run["seed"]]
        plain = directory.record(baseline["path"]).test
        assert plain is not None
        assert test["baseline"]["run_id"] == baseline["id"]
        assert test["baseline"]["best"]["accuracy"] == plain["best"]["accuracy"]
        for part in (test["best"], test["last"], test["baseline"]["best"]):
            assert 0 <= part["top1_agreement"] <= 1
            assert part["kl_t1"] >= 0
            assert part["kl_t4"] >= 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_shares_of_a_cohort_and_single_runs_give_the_same_bits(
    worked: Work, precision: str
) -> None:
    whole = contents(worked("whole", precision=precision).path)
    assert len(whole) == 11
    for share in (2, 13):
        assert contents(worked(f"share{share}", share=share, precision=precision).path) == whole


def test_what_is_done_is_not_done_again_and_an_edit_trains_only_what_is_new(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def counted(prepared: Any, *args: Any) -> Any:
        trained.append(run_id(prepared.run))
        return Attempt(prepared, *args)

    monkeypatch.setattr("kdgap.study.trainer.Attempt", counted)
    before = worked()
    assert len(trained) == len(set(trained)) == 11
    trained.clear()
    worked()
    assert trained == []
    worked(finals={"seeds": [0, 1, 2]})
    assert len(trained) == 3  # a baseline and two winners
    trained.clear()
    wider = {
        "logit": {"alpha": [0.3, 0.7, 0.9], "temperature": 4.0},
        "feature": {"alpha": [0.3, 0.7]},
    }
    directory = worked(finals={"seeds": [0, 1, 2]}, methods=wider)
    new = [run for run in runs(directory, "selection") if run["parameters"].get("alpha") == 0.9]
    assert new[0]["id"] in trained
    assert set(trained) <= {run["id"] for run in directory.plan()["runs"]}
    assert len(trained) in (1, 4)  # 4 if the new candidate wins and gets its three finals
    assert before.path == directory.path


# Failures


def break_run(
    monkeypatch: pytest.MonkeyPatch, victim: Any, error: Exception | None, times: int = 99
) -> list[int]:
    """Make the first step of runs that `victim` picks fail `times` times; return the counter."""
    step, count = Student.step, [0]

    def broken(self: Student, *args: Any, **options: Any) -> Any:
        if victim(self.run) and count[0] < times:
            count[0] += 1
            if error is not None:
                raise error
            measured, norms = step(self, *args, **options)
            return {**measured, "loss_ce": measured["loss_ce"] * float("nan")}, norms
        return step(self, *args, **options)

    monkeypatch.setattr(Student, "step", broken)
    return count


def is_candidate(run: Any) -> bool:
    return bool(run.seed == 1000 and run.method.parameters == {"alpha": 0.3, "temperature": 4.0})


def test_a_run_that_always_fails_is_given_up_and_the_rest_goes_on(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = break_run(monkeypatch, is_candidate, RuntimeError("no memory left"))
    directory = worked(budgets={"attempts": 3})
    assert count == [3]
    assert states(directory) == {"done": 10, "failed": 1}
    failed = next(row for row in survey(directory).rows if row.state == "failed")
    assert "no memory left" in failed.remark
    selection = directory.selection()
    assert selection is not None
    logit = selection["choices"][0]
    assert logit["winner"]["alpha"] == 0.7
    assert (logit["tried"], logit["failed"]) == (2, 1)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        ValueError("Expected more than 1 value per channel when training"),
        TypeError("forward() got an unexpected argument"),
    ],
)
def test_what_fails_by_nature_is_attempted_once(
    worked: Work, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    count = break_run(monkeypatch, is_candidate, error)
    assert states(worked(budgets={"attempts": 3}, stages=("teachers", "selection")))["failed"] == 1
    assert count == [1]


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(BadInputError("no such images"), 1), (RuntimeError("the device is busy"), 3)],
)
def test_what_cannot_begin_for_what_was_asked_is_attempted_once(
    worked: Work, monkeypatch: pytest.MonkeyPatch, error: Exception, attempts: int
) -> None:
    begun: list[object] = []

    def refused(_: object, planned: Any, *weights: object) -> None:
        begun.append(planned)
        raise error

    monkeypatch.setattr("kdgap.study.inputs.Inputs.prepare", refused)
    directory = worked(budgets={"attempts": 3}, stages=("teachers",))
    assert states(directory)["failed"] == 1
    assert len(begun) == attempts


def test_a_run_that_fails_once_is_tried_again_and_ends_with_the_same_bits(
    calm: dict[str, Any], worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_run(monkeypatch, is_candidate, RuntimeError("a passing trouble"), times=1)
    assert contents(worked("rough").path) == calm


def test_a_run_that_diverges_is_not_tried_again(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = break_run(monkeypatch, is_candidate, None)
    directory = worked()
    assert count == [4]  # four steps of one epoch: one attempt
    failed = next(row for row in survey(directory).rows if row.state == "failed")
    assert failed.remark == "diverged at step 1 of epoch 1"


def test_a_run_that_another_runner_saw_diverge_is_not_tried_again(
    worked: Work, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked(stages=("teachers",))
    slow = opened()
    plan, _ = slow.plan()
    victim = next(p for p in plan.runs.values() if is_candidate(p.run))
    assert slow.inventory.is_ready(victim)
    break_run(monkeypatch, is_candidate, None)
    directory = worked()
    lock = directory.run(victim.path).try_lock()
    assert lock is not None
    with lock:
        assert not slow.inventory.still_ready(victim)
    assert slow.inventory.is_over(victim)


def test_students_of_a_teacher_that_fails_are_blocked(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_run(monkeypatch, lambda run: run.model.width == 0.5, None)
    directory = worked()
    assert states(directory) == {"failed": 1, "blocked": 4, "done": 2}
    assert directory.plan()["open_runs"] == 4
    assert not any(run.has_role("final") for run in study_evidence(directory).runs)


def test_a_run_that_does_not_fit_the_data_fails_alone(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(run: Any, images: int) -> None:
        if is_candidate(run):
            raise BadInputError("too few images for it")
        check_trainable(run, images)

    monkeypatch.setattr("kdgap.study.inputs.check_trainable", refusing)
    directory = worked()
    assert states(directory) == {"done": 10, "failed": 1}
    failed = next(row for row in survey(directory).rows if row.state == "failed")
    assert failed.remark == "too few images for it"


def test_a_run_whose_attempts_all_died_without_a_word_is_given_up(
    finished: Finished, worked: Work
) -> None:
    directory = finished("teachers")
    victim = runs(directory, "selection")[0]
    run = directory.run(victim["path"])
    run.path.mkdir(parents=True)
    for _ in range(2):
        run.note_attempt({"began": "then", "host": "h", "pid": 1, "from": [0, 0]})
    directory = worked(budgets={"attempts": 2})
    assert states(directory) == {"done": 10, "failed": 1}
    assert "died in 2 attempts" in directory.status(victim["path"]).remark


# What must not change


def test_other_data_is_refused(finished: Finished, worked: Work) -> None:
    directory = finished("teachers")
    path = directory.path / "locked" / "data.json"
    locked = read_sealed(path)
    write_sealed(path, locked | {"value": locked["value"] | {"fingerprint": "0" * 64}})
    with pytest.raises(BadInputError, match="not what this study began with"):
        worked()


@pytest.mark.parametrize("where", ["run", "file"])
def test_a_teacher_swapped_with_the_same_size_and_time_is_refused(
    finished: Finished, calm: dict[str, Any], worked: Work, where: str, tmp_path: Path
) -> None:
    directory = finished("teachers")
    path = directory.path / runs(directory, "teacher")[0]["path"] / BEST
    changes: dict[str, Any] = {}
    if where == "file":
        path = Path(shutil.copy(path, tmp_path / "teacher.safetensors"))
        changes = {"out": "other", "teachers": {"weights": {"big": str(path)}}}
        worked(**changes, stages=("selection",))
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    if where == "file":
        with pytest.raises(TeacherError, match="hash to"):
            worked(**changes)
        return
    # A teacher of the study's own is a damaged record: what needs it waits, the rest is done.
    worked()
    assert states(directory) == {"done": 3, "new": 4}
    assert not (directory.path / "locked" / "preregistration.json").exists()
    doomed = removable(directory).doomed
    assert list(doomed) == [str(path.parent)]
    shutil.rmtree(path.parent)
    assert states(worked()) == {"done": 11}
    assert contents(directory.path) == calm


def test_a_teacher_damaged_before_its_students_were_tested_stops_nobody_else(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("kdgap.study.doors.Doors.open", lambda *_: False)
        directory = worked()
    path = directory.path / runs(directory, "teacher")[0]["path"] / BEST
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    worked()
    tested = [r["roles"] for r in runs(directory) if directory.record(r["path"]).tested]
    assert tested == [["baseline"], ["baseline"]]


def test_another_teacher_in_the_same_file_is_refused(worked: Work, tmp_path: Path) -> None:
    longer = {"epochs": 2, "batch_size": 64}
    first = worked("one", stages=("teachers",))
    second = worked("two", stages=("teachers",), recipe=longer)
    files = [d.path / runs(d, "teacher")[0]["path"] / BEST for d in (first, second)]
    path = tmp_path / "teacher.safetensors"
    shutil.copy(files[0], path)
    changes = {"teachers": {"weights": {"big": str(path)}}}
    directory = worked("files", **changes, stages=("selection",))
    shutil.copy(files[1], path)
    with pytest.raises(BadInputError, match="not the weights of big that this study began with"):
        worked("files", **changes)
    shutil.copy(files[0], path)
    worked("files", **changes)
    assert states(directory) == {"done": 10}


def test_threads_are_fixed_at_first_use(finished: Finished, worked: Work) -> None:
    finished("teachers")
    with pytest.raises(BadInputError, match="threads: 1 since its first use"):
        worked(threads=2)


def test_a_study_changed_by_another_runner_stops_this_one(opened: Open) -> None:
    first = opened(finals={"seeds": [0]})
    start_study(first, lambda _: None)
    start_study(opened(finals={"seeds": [0, 1]}), lambda _: None)
    with pytest.raises(BadInputError, match="another `kdgap run` has changed the study"):
        Worker(first, "cpu").work()


def changed_while_one_plans(opened: Open, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A study that another `kdgap run` changes as soon as this workspace has looked at the disk."""
    first = opened(finals={"seeds": [0]})
    start_study(first, lambda _: None)
    first = open_study(first.directory.path)

    def overtaken() -> Any:
        planned = Workspace.plan(first)
        start_study(opened(finals={"seeds": [0, 1]}), lambda _: None)
        return planned

    monkeypatch.setattr(first, "plan", overtaken)
    return first


@pytest.mark.parametrize("go_on", ["work", "start"])
def test_a_study_changed_while_a_runner_looks_at_the_disk_is_not_put_back(
    opened: Open, monkeypatch: pytest.MonkeyPatch, go_on: str
) -> None:
    first = changed_while_one_plans(opened, monkeypatch)
    again = {"work": Worker(first, "cpu").work, "start": lambda: start_study(first, lambda _: None)}
    with pytest.raises(BadInputError, match="another `kdgap run` has changed the study"):
        again[go_on]()
    assert first.directory.plan()["study"]["finals"]["seeds"] == [0, 1]


def test_a_changed_study_waits_until_a_runner_has_written_its_plan(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(finals={"seeds": [0]})
    start_study(first, lambda _: None)
    second = opened(finals={"seeds": [0, 1]})
    other = Thread(target=start_study, args=(second, lambda _: None))

    def slowly(name: str, value: Any) -> None:
        if name == "plan.json" and other.ident is None:
            other.start()
            other.join(timeout=1)
            assert other.is_alive()
        StudyDirectory.write(first.directory, name, value)

    def pause() -> None:
        if other.ident is not None:
            other.join()

    monkeypatch.setattr(first.directory, "write", slowly)
    with pytest.raises(BadInputError, match="another `kdgap run` has changed the study"):
        Worker(first, "cpu", pause=pause).work()
    assert first.directory.plan()["study"]["finals"]["seeds"] == [0, 1]


def test_a_record_edited_by_hand_is_named_and_left_out_and_the_others_stay(
    finished: Finished, worked: Work
) -> None:
    directory = finished()
    victim = runs(directory, "final")[0]
    path = directory.path / victim["path"] / "results.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    assert directory.status(victim["path"]).state == "damaged"
    analysis = analyse(study_evidence(directory))
    (failure,) = analysis.failures
    assert failure.state == "damaged"
    assert "results.json" in failure.remark
    assert sorted(gain.n for gain in analysis.gains) == [1, 2]
    texts = [flag.text for gain in analysis.gains for flag in gain.flags]
    assert any("1 of 2 runs have no result" in text for text in texts)
    worked()  # goes round it and does not overwrite it
    assert directory.status(victim["path"]).state == "damaged"


def test_a_symlinked_run_directory_is_refused(
    finished: Finished, worked: Work, tmp_path: Path
) -> None:
    directory = finished("teachers")
    victim = directory.path / runs(directory, "baseline")[0]["path"]
    victim.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "elsewhere").mkdir()
    victim.symlink_to(tmp_path / "elsewhere")
    worked()
    assert states(directory) == {"done": 10, "damaged": 1}
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_symlinked_slot_is_refused(finished: Finished, worked: Work, tmp_path: Path) -> None:
    directory = finished("teachers")
    slot = (directory.path / runs(directory, "baseline")[0]["path"]).parent
    (tmp_path / "elsewhere").mkdir()
    slot.symlink_to(tmp_path / "elsewhere")
    worked()
    assert states(directory) == {"done": 9, "damaged": 2}  # its two seeds
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_study_directory_can_be_moved(
    finished: Finished, calm: dict[str, Any], worked: Work, opened: Open, tmp_path: Path
) -> None:
    directory = finished("teachers", "selection")
    shutil.move(directory.path, tmp_path / "moved")
    moved = worked("moved")
    assert states(moved) == {"done": 11}
    assert contents(moved.path) == calm


# Protocol


def post_hoc(workspace: Workspace) -> list[str]:
    known = ("post hoc", "optional stopping", "the pre-registration")
    notices = workspace.notices(workspace.plan()[0])
    return [notice.text for notice in notices if notice.text.startswith(known)]


def test_changes_after_the_first_final_are_post_hoc(finished: Finished, opened: Open) -> None:
    directory = finished()
    assert post_hoc(opened()) == []
    assert any(
        "optional stopping" in text for text in post_hoc(opened(finals={"seeds": [0, 1, 2]}))
    )
    for changes, key in (
        ({"statistics": {"smallest_effect_pp": 3.0}}, "statistics"),
        ({"recipe": {"epochs": 3, "batch_size": 64}}, "recipe"),
        ({"precision": "bf16"}, "precision"),
        ({"data": {"name": "digits", "limit": 200}}, "data"),
        ({"teachers": {"seeds": [0, 1]}}, "teachers"),
    ):
        changed = opened(**changes)
        expected = f"post hoc: {key} was changed after the first final was tested"
        assert post_hoc(changed) == [expected]
    assert post_hoc(opened(save_seconds=3.0, description="another")) == []
    locked = directory.path / "locked" / "preregistration.json"
    locked.write_text(locked.read_text().replace('"epochs": 1', '"epochs": 2'))
    assert "changed by hand" in post_hoc(opened())[0]


def test_a_winner_that_changes_after_the_first_final_is_post_hoc(
    finished: Finished, opened: Open
) -> None:
    directory = finished()
    winner = next(w for w in directory.plan()["winners"] if w["method"] == "logit")["parameters"]
    other = 1.0 - winner["alpha"]
    methods = {
        "logit": {"alpha": [round(other, 1)], "temperature": 4.0},
        "feature": {"alpha": [0.3, 0.7]},
    }
    expected = [f"post hoc: {key} was changed after the first final was tested" for key in KEYS]
    assert post_hoc(opened(methods=methods)) == expected


KEYS = ("methods", "winners")


def damage_the_winner(directory: StudyDirectory) -> Path:
    """Edit the record of a selection run that won, or would win; return its directory."""
    candidates = [r for r in runs(directory, "selection") if "temperature" in r["parameters"]]
    best = max(candidates, key=lambda run: results(directory, run)["best_val_acc"])
    edited: Path = directory.path / best["path"] / "results.json"
    edited.write_text(edited.read_text().replace('"epochs": 1', '"epochs": 9'))
    return edited.parent


def test_selection_waits_for_a_damaged_record_and_no_door_opens(
    finished: Finished, calm: dict[str, Any], worked: Work
) -> None:
    directory = finished("teachers", "selection")
    opened = set(directory.path.glob("runs/*/*/test.json"))  # the teacher's: selection was over
    damaged = damage_the_winner(directory)
    worked()
    assert not directory.plan()["selection_complete"]
    assert set(directory.path.glob("runs/*/*/test.json")) == opened
    assert not (directory.path / "locked" / "preregistration.json").exists()
    shutil.rmtree(damaged)
    assert contents(worked().path) == calm


def test_a_winner_whose_record_is_damaged_later_stays_the_winner(
    finished: Finished, worked: Work, opened: Open
) -> None:
    directory = finished()
    winners, gains = directory.plan()["winners"], analyse(study_evidence(directory)).gains
    damaged = damage_the_winner(directory)
    worked()
    plan = directory.plan()
    assert not plan["selection_complete"]
    assert (plan["winners"], shorts(of_plan(plan))) == (winners, ("smoke run",))
    after = analyse(study_evidence(directory)).gains
    assert [g.gain_pp for g in after] == [g.gain_pp for g in gains]
    shutil.rmtree(damaged)
    assert post_hoc(opened()) == []
    assert worked().plan()["winners"] == winners
    assert states(directory) == {"done": 11}


def test_the_declared_overlap_tests_its_shared_run_in_its_second_role(worked: Work) -> None:
    directory = worked(selection={"seeds": [0], "allow_overlap": True})
    shared = [run for run in runs(directory) if {"selection", "final"} <= set(run["roles"])]
    assert len(shared) == 2  # the winner of each method
    for run in shared:
        record = directory.record(run["path"])
        assert record.test is not None
        assert record.test["role"] == "final"
        assert (directory.path / run["path"] / LAST).exists()
    assert any("selection seed 0 is among" in notice.text for notice in of_plan(directory.plan()))


def test_the_first_published_protocol_is_flagged_everywhere(worked: Work) -> None:
    directory = worked(
        data={"name": "digits", "limit": 256, "val_size": 0},
        selection={"seeds": [0], "split": "test", "allow_test": True, "allow_overlap": True},
    )
    assert any("chosen on the test images" in notice.text for notice in of_plan(directory.plan()))
    assert list(shorts(of_plan(directory.plan()))) == [
        "smoke run",
        "chosen on the test images",
        "selection seed 0 is a final seed",
    ]
    for run in runs(directory):
        record = directory.record(run["path"])
        assert any("chosen on the test images" in flag for flag in record.run["flags"])
        assert record.run["data"]["val"] == record.run["data"]["test"]
        if record.test is not None:
            assert record.results["best_val_acc"] == record.test["best"]["accuracy"]


def test_only_some_stages(worked: Work) -> None:
    assert states(worked(stages=("teachers",))) == {"done": 1, "new": 6}
    assert states(worked(stages=("selection",))) == {"done": 5, "new": 6}
    ablations = {
        "clip": {
            "of": {"teacher": "big", "student": "little", "method": "feature"},
            "change": {"recipe.clip_scope": "student_only"},
            "seeds": [0],
        },
        "narrow": {"of": {"student": "little"}, "change": {"recipe.lr": 0.01}, "seeds": [5]},
    }
    directory = worked(stages=("clip",), ablations=ablations)
    done = [run for run in runs(directory) if directory.status(run["path"]).state == "done"]
    variants = sorted(
        Slot.read(slot).variant for run in done for slot in run["slots"] if "ablation" in slot
    )
    assert [text for text in variants if text.startswith("clip")] == ["clip: base", "clip: changed"]
    assert not any(text.startswith("narrow") for text in variants)


# Stops and faults


def test_a_stop_saves_and_the_same_work_goes_on(
    calm: dict[str, Any], opened: Open, worked: Work
) -> None:
    for chances in (2, 9, 17, 40):
        workspace = opened("rough")
        start_study(workspace, lambda _: None)
        left = [chances]

        def pause(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise StoppedError("stopped", 130)

        with pytest.raises(StoppedError):
            Worker(workspace, "cpu", pause=pause).work()
    assert contents(worked("rough").path) == calm


def test_a_first_start_that_was_killed_is_started_again(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = opened()
    rename = disk.current.rename
    with monkeypatch.context() as patch:

        def killed(source: Path, target: Path) -> None:
            if target.name == "plan.json":
                patch.setattr(disk.current, "unlink", lambda _: None)  # nobody cleans up
                raise KeyboardInterrupt
            rename(source, target)

        patch.setattr(disk.current, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            start_study(workspace, lambda _: None)
    assert any(p.name.startswith(TEMPORARY_PREFIX) for p in workspace.directory.path.iterdir())
    assert start_study(opened(), lambda _: None).exists()


def test_a_disk_that_fills_stops_the_runner_and_it_goes_on_when_space_is_free(
    calm: dict[str, Any], opened: Open, worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    for allowed in (5, 30, 60, 100):
        left = [allowed]

        def full(handle: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            fsync(handle)

        workspace = opened("rough", save_seconds=0.0)
        start_study(workspace, lambda _: None)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RunFailedError, match="No space left"):
                Worker(workspace, "cpu").work()
    assert contents(worked("rough", save_seconds=0.0).path) == calm


@pytest.mark.parametrize(
    "allowed", [n if n in (0, 3, 7) else pytest.param(n, marks=pytest.mark.slow) for n in range(12)]
)
def test_a_door_that_was_cut_off_is_opened_again_with_the_same_bits(
    calm: dict[str, Any], worked: Work, opened: Open, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    workspace = opened()
    start_study(workspace, lambda _: None)
    fsync, left = os.fsync, [allowed]

    def dies(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        fsync(handle)

    def open_dying(*args: Any, **options: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", dies)
            open_recorded(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("kdgap.study.doors.open_recorded", open_dying)
        try:
            Worker(workspace, "cpu").work()
        except KeyboardInterrupt:
            pass
        else:
            assert left[0] >= 0
    directory = worked()
    for run in runs(directory):
        if run["roles"] != ["selection"]:
            assert directory.record(run["path"]).tested
    assert contents(directory.path) == calm


def test_each_network_answers_the_test_images_once(
    worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def counted(network: Any, *args: Any, **options: Any) -> Any:
        asked.append(network)
        return predict(network, *args, **options)

    def of_validation_images(*args: Any) -> bytes:
        before = len(asked)
        content = validated(*args)
        del asked[before:]
        return content

    monkeypatch.setattr("kdgap.running.door.predict", counted)
    monkeypatch.setattr("kdgap.running.training.validated", of_validation_images)
    directory = worked()
    tested = [run for run in runs(directory) if run["roles"] != ["selection"]]
    hashes = set()
    for run in tested:
        record = results(directory, run)
        hashes |= {record["weight_hash_best"], record["weight_hash_last"]}
    assert len(asked) == len(hashes)


def test_a_damaged_final_stops_nobody_else_and_clean_finds_it(
    finished: Finished, worked: Work
) -> None:
    directory = finished("teachers", "selection")
    workspace_run = next(run for run in runs(directory, "baseline"))
    worked(stages=("finals",), finals={"seeds": [0, 1]})
    victim = directory.path / workspace_run["path"]
    content = bytearray((victim / BEST).read_bytes())
    content[-1] ^= 1
    (victim / BEST).write_bytes(content)
    doomed = removable(directory).doomed
    assert list(doomed) == [str(victim)]
    worked(finals={"seeds": [0, 1, 2]})
    counts = states(directory)
    assert counts["done"] == 14


def test_a_run_that_is_final_and_ablation_is_tested_as_a_final(worked: Work) -> None:
    clip = {
        "of": {"teacher": "big", "student": "little", "method": "feature"},
        "change": {"recipe.clip_scope": "student_only"},
        "seeds": [0, 1],
    }
    directory = worked(ablations={"clip": clip})
    shared = [run for run in runs(directory) if {"final", "ablation"} <= set(run["roles"])]
    assert len(shared) == 2
    for run in shared:
        test = directory.record(run["path"]).test
        assert test is not None
        assert test["role"] == "final"
        assert "baseline" in test


def test_a_method_with_a_defect_fails_alone(worked: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    break_run(monkeypatch, is_candidate, KeyError("a defect"))
    assert states(worked(budgets={"attempts": 2})) == {"done": 10, "failed": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"selection": {"seeds": [0, 1000], "allow_overlap": True}},
        {"finals": {"seeds": [0, 1, 2]}},
    ],
)
def test_a_plan_counts_the_cohorts_that_are_trained(
    worked: Work, opened: Open, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    ablations = {
        "clip": {
            "of": {"teacher": "big", "student": "little", "method": "feature"},
            "change": {"recipe.clip_scope": "student_only"},
            "seeds": [0, 5],
        },
        "slow": {"of": {"student": "little"}, "change": {"recipe.lr": 0.01}, "seeds": [0, 7]},
    }
    sizes: list[int] = []

    def counted(attempts: Any, **options: Any) -> None:
        sizes.append(len(attempts))
        train_attempts(attempts, **options)

    monkeypatch.setattr("kdgap.study.trainer.train_attempts", counted)
    workspace = opened(ablations=ablations, **changes)
    before = plan_data(workspace, *workspace.plan())["cohorts"]
    worked(ablations=ablations, **changes)
    workspace = opened(ablations=ablations, **changes)
    plan, selected = workspace.plan()
    assert before == len(sizes) == plan_data(workspace, plan, selected)["cohorts"]
    assert sorted(sizes) == sorted(len(group) for group in staged_cohorts(plan))


def test_data_in_another_place_on_another_machine_is_the_same_study(opened: Open) -> None:
    first = opened(data={"name": "digits", "limit": 256, "root": "here"})
    start_study(first, lambda _: None)
    start_study(opened(data={"name": "digits", "limit": 256, "root": "there"}), lambda _: None)
    Worker(first, "cpu", ["teachers"]).work()


def test_a_copied_run_directory_is_not_the_run(finished: Finished, worked: Work) -> None:
    directory = finished("teachers", "selection")
    first, second = (directory.path / run["path"] for run in runs(directory, "selection")[:2])
    shutil.rmtree(second)
    shutil.copytree(first, second)
    worked()
    assert states(directory)["damaged"] == 1


def image_folder(
    root: Path, train: int, test: int, labels: tuple[str, ...] = ("cat", "dog")
) -> Path:
    """Write random images of 8 by 8 pixels: so many of each class in each part."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", train), ("test", test)):
        for label in labels:
            folder = root / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = torch.randint(0, 256, (8, 8, 3), generator=generator, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    return root


def of_folder(root: Path, val_size: int = 4) -> dict[str, Any]:
    """What a study of an image folder has different."""
    data = {"name": "imagefolder", "root": str(root), "image_size": 8, "val_size": val_size}
    return {"data": data, "recipe": {"epochs": 1, "batch_size": 8}}


def test_one_changed_byte_of_the_data_is_refused(worked: Work, tmp_path: Path) -> None:
    changes = of_folder(image_folder(tmp_path / "images", 12, 4))
    directory = worked(**changes, stages=("teachers",))
    victim = tmp_path / "images" / "train" / "dog" / "3.png"
    image = Image.open(victim).convert("RGB")
    red, green, blue = image.getpixel((0, 0))  # type: ignore[misc]
    image.putpixel((0, 0), (red ^ 1, green, blue))
    image.save(victim)
    with pytest.raises(BadInputError, match="the data is not what this study began with"):
        worked(**changes)
    assert states(directory)["done"] == 1


@pytest.mark.parametrize(
    ("labels", "val_size", "ablation", "words"),
    [
        (("cat", "dog"), 24, None, "val_size 24 leaves no training image"),
        (("cat", "dog"), 500, None, "val_size 500 leaves no training image"),
        (("cat", "dog"), 23, None, "val_size 23 leaves 1 training image"),
        (("cat",), 4, None, r"imagefolder .* has one class"),
        (("cat", "dog"), 4, 23, "val_size 23 leaves 1 training image"),
    ],
)
def test_what_does_not_fit_a_folder_is_refused_before_anything_is_written(
    worked: Work,
    tmp_path: Path,
    labels: tuple[str, ...],
    val_size: int,
    ablation: int | None,
    words: str,
) -> None:
    changes = of_folder(image_folder(tmp_path / "images", 12, 4, labels), val_size)
    if ablation is not None:
        entry = {"of": {"student": "little"}, "change": {"data.val_size": ablation}, "seeds": [0]}
        changes["ablations"] = {"fewer": entry}
    with pytest.raises(BadInputError, match=words):
        worked(**changes)
    directory = StudyDirectory(tmp_path / "study")
    assert not directory.path.exists()
    # More images are no other data: nothing was begun.
    image_folder(tmp_path / "more", 300, 4)
    changes["data"]["root"] = str(tmp_path / "more")
    worked(**changes, stages=("teachers",))
    assert states(directory)["done"] == 1


def test_more_negatives_than_the_largest_class_leaves_are_refused_before_anything_is_trained(
    worked: Work, tmp_path: Path
) -> None:
    root = image_folder(tmp_path / "images", 40, 4, ("cat",))
    image_folder(tmp_path / "images", 4, 4, ("dog", "owl"))
    methods = {"crd": {"negatives": 20, "width": 4}}  # of 44 images no more than 8 are no cats
    with pytest.raises(BadInputError, match=r"crd .* at most \d are; set its negatives to at most"):
        worked(**of_folder(root), methods=methods, selection=None, claims=[], ablations={})
    assert not (tmp_path / "study").exists()


def test_a_study_whose_last_batches_would_hold_one_image_is_done(
    worked: Work, tmp_path: Path
) -> None:
    changes = of_folder(image_folder(tmp_path / "images", 12, 4), 7)  # 17 images in batches of 8
    directory = worked(**changes)
    assert states(directory) == {"done": 11}
    assert contents(worked("again", **changes, share=13).path) == contents(directory.path)


def test_a_cohort_is_no_larger_than_memory_allows(
    calm: dict[str, Any], worked: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(attempts: Any, **options: Any) -> None:
        sizes.append(len(attempts))
        train_attempts(attempts, **options)

    monkeypatch.setattr("kdgap.study.trainer.train_attempts", counted)
    # A ResNet-8 with 2 channels has 1,320 parameters: two members take 42,240 of these bytes.
    monkeypatch.setattr("kdgap.study.worker.free_memory", lambda _: 2 * 2 * 16 * 1320)
    assert contents(worked("small").path) == calm
    assert (max(sizes), sum(sizes)) == (2, 11)
