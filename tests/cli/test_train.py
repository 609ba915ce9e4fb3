"""`kdgap train`, `evaluate` of a run, and `show`: what a run leaves on disk and says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from kdgap.data import Request, load_dataset
from kdgap.files import file_hash, parse_json, write_atomic
from kdgap.running.thumbnails import thumbnails
from kdgap.store.predictions import read_predictions
from kdgap.store.record import PREDICTIONS_TEST, PREDICTIONS_VAL, RunDirectory
from kdgap.store.weights import read_weights

Command = Callable[..., "CompletedProcess[str]"]
Config = Callable[..., Path]

FILES = {
    "run.json",
    "history.jsonl",
    "results.json",
    "test.json",
    "timing.json",
    "attempts.jsonl",
    ".lock",
    "manifest.json",
    "checkpoint_best.safetensors",
    "checkpoint_last.safetensors",
    "predictions_val.safetensors",
    "predictions_test.safetensors",
}
OUTSIDE = {"timing.json", "manifest.json", ".lock", "attempts.jsonl"}  # no promise of equality
REFERENCE_KEYS = [
    "model",
    "teacher",
    "kd_type",
    "alpha",
    "temperature",
    "feat_beta",
    "stem",
    "seed",
    "no_proj_clip",
    "grad_norm_max_overall",
    "proj_grad_norm_max_overall",
    "epochs",
    "best_val_acc",
    "best_val_epoch",
    "test_acc_best",
    "test_acc_final",
    "history",
]


def _json(path: Path) -> Any:
    return parse_json(path.read_text(encoding="utf-8"))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def run(kdgap: Command, config: Config, workdir: Path) -> Callable[..., Path]:
    """Train a run of two epochs into the folder `run` and return it."""

    def train(*words: object, **changes: object) -> Path:
        keys: dict[str, object] = {"epochs": 2, "output_dir": "run"} | changes
        done = kdgap("train", config(**keys), *words)
        assert done.returncode == 0, done.stderr
        return workdir / str(keys["output_dir"])

    return train


# The record


def test_a_run_leaves_every_file_of_its_record_and_no_other(run: Callable[..., Path]) -> None:
    assert _names(run()) == FILES


def test_results_have_the_references_keys_and_are_strict_json(run: Callable[..., Path]) -> None:
    folder = run()
    results = _json(folder / "results.json")
    assert [key for key in results if key in REFERENCE_KEYS] == REFERENCE_KEYS
    assert (results["model"], results["kd_type"], results["seed"]) == ("resnet8", "none", 0)
    assert len(results["history"]) == results["epochs"] == 2
    history = [parse_json(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert results["history"] == history
    assert results["best_val_acc"] == max(entry["val_acc"] for entry in history)


def test_the_record_agrees_with_itself(run: Callable[..., Path]) -> None:
    folder = run()
    results, test = _json(folder / "results.json"), _json(folder / "test.json")
    header, manifest = _json(folder / "run.json"), _json(folder / "manifest.json")
    assert results["run_id"] == test["run_id"] == header["id"]
    assert results["test_acc_best"] == test["best"]["accuracy"]
    assert results["test_acc_final"] == test["last"]["accuracy"]
    assert manifest["files"] == {name: file_hash(folder / name) for name in FILES - OUTSIDE}
    for kind in ("best", "last"):
        _, card = read_weights(folder / f"checkpoint_{kind}.safetensors")
        assert card.weight_hash == results[f"weight_hash_{kind}"] == test[kind]["weight_hash"]
        assert card.run_id == header["id"]
        assert card.accuracy is not None
        assert card.accuracy.value == results[f"{kind}_val_acc"]


def test_a_students_record_names_its_teacher_and_how_faithful_it_is(
    run: Callable[..., Path], teacher_weights: Path
) -> None:
    folder = run(kd_type="feature", teacher_weights=str(teacher_weights), alpha=0.25)
    _, card = read_weights(teacher_weights)
    header, results = _json(folder / "run.json"), _json(folder / "results.json")
    assert header["teacher"] == json.loads(card.model_dump_json())
    assert results["teacher_weight_hash"] == card.weight_hash
    assert (results["alpha"], results["feat_beta"], results["temperature"]) == (0.25, 0.5, None)
    assert results["proj_grad_norm_max_overall"] > 0
    test = _json(folder / "test.json")
    assert set(test["best"]) >= {"top1_agreement", "kl_t1", "kl_t4", "ece", "per_class_acc"}
    assert test["teacher"]["weight_hash"] == card.weight_hash


def test_keys_that_do_not_apply_are_echoed_and_change_nothing(run: Callable[..., Path]) -> None:
    plain = _json(run() / "results.json")
    odd = _json(run(temperature=3.0, teacher="resnet20", output_dir="odd") / "results.json")
    assert odd["dropped"] == {"temperature": 3.0, "teacher": "resnet20"}
    assert odd["run_id"] == plain["run_id"]
    assert odd["weight_hash_last"] == plain["weight_hash_last"]


def test_keys_that_do_not_apply_are_named_with_their_place(
    kdgap: Command, config: Config, workdir: Path
) -> None:
    path = config(epochs=1, output_dir="run", temperature=3.0)
    done = kdgap("train", path, "--set", "no_proj_clip=true")
    assert done.returncode == 0
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    line = 1 + path.read_text().splitlines().index("temperature: 3.0")
    assert notes == [
        f"note: {path}:{line}: temperature does not apply to kd_type none; left out",
        "note: command line: no_proj_clip does not apply to kd_type none; left out",
    ]


# The test door


def test_no_test_leaves_the_door_closed(run: Callable[..., Path]) -> None:
    folder = run("--no-test")
    assert _names(folder) == FILES - {"test.json", "predictions_test.safetensors"}
    results = _json(folder / "results.json")
    assert results["test_acc_best"] is None
    assert results["test_acc_final"] is None
    assert _json(folder / "timing.json")["test_openings"] == []


def test_opening_the_door_later_gives_the_same_bytes(
    run: Callable[..., Path], kdgap: Command, teacher_weights: Path
) -> None:
    keys = {"kd_type": "logit", "teacher_weights": str(teacher_weights)}
    at_once = run(**keys, output_dir="at_once")
    later = run("--no-test", **keys, output_dir="later")
    assert kdgap("evaluate", later).returncode == 0
    for name in ("results.json", "test.json", "history.jsonl"):
        assert (later / name).read_bytes() == (at_once / name).read_bytes()
    assert kdgap("show", later).returncode == 0


def test_the_door_opens_once(run: Callable[..., Path], kdgap: Command) -> None:
    folder = run("--no-test")
    assert kdgap("evaluate", folder).returncode == 0
    openings = _json(folder / "timing.json")["test_openings"]
    assert [opening["by"] for opening in openings] == ["evaluate"]
    before = _stamps(folder)
    again = kdgap("evaluate", folder, "--json")
    assert json.loads(again.stdout) == _json(folder / "test.json")
    assert _stamps(folder) == before


def test_test_images_are_not_read_behind_a_closed_door(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.running.single.open_door", lambda *_: pytest.fail("opened"))
    run("--no-test")


def test_a_look_at_the_test_images_past_the_door_is_noted(
    run: Callable[..., Path], kdgap: Command
) -> None:
    folder = run("--no-test")
    assert kdgap("evaluate", folder / "checkpoint_best.safetensors").returncode == 0
    assert _json(folder / "timing.json")["test_openings"] == []
    words = ("--split", "test", "--json")
    scored = json.loads(kdgap("evaluate", folder / "checkpoint_best.safetensors", *words).stdout)
    assert scored["images"] == 500
    openings = _json(folder / "timing.json")["test_openings"]
    assert [opening["by"] for opening in openings] == ["evaluate checkpoint_best.safetensors"]
    assert kdgap("show", folder).returncode == 0


def test_measuring_a_runs_own_weights_on_another_machine_leaves_the_run_intact(
    run: Callable[..., Path], kdgap: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run()
    monkeypatch.setattr("kdgap.running.evaluation.environment_digest", lambda _: "elsewhere")
    kdgap("evaluate", folder / "checkpoint_best.safetensors", "--write-card")
    assert kdgap("show", folder).returncode == 0


def test_the_door_stays_closed_without_the_runs_own_teacher(
    run: Callable[..., Path], kdgap: Command, refused: Callable[..., str], teacher_weights: Path
) -> None:
    keys = {"kd_type": "logit", "teacher_weights": str(teacher_weights)}
    folder = run("--no-test", **keys)
    other = run("--no-test", output_dir="other", seed=1)
    teacher_weights.write_bytes((other / "checkpoint_best.safetensors").read_bytes())
    assert "teacher" in refused(kdgap, "evaluate", folder)
    teacher_weights.unlink()
    assert "not found" in refused(kdgap, "evaluate", folder)


@pytest.mark.parametrize("words", [("--split", "test"), ("--write-card",)])
def test_options_for_weights_are_refused_for_a_run(
    run: Callable[..., Path],
    kdgap: Command,
    refused: Callable[..., str],
    words: tuple[str, ...],
) -> None:
    assert words[0] in refused(kdgap, "evaluate", run("--no-test"), *words)


# Again


def test_the_same_command_again_retrains_nothing(
    run: Callable[..., Path], kdgap: Command, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run()
    before = _stamps(folder)
    monkeypatch.setattr(
        "kdgap.running.training.train_cohort", lambda *_, **__: pytest.fail("it trained")
    )
    done = kdgap("train", config(epochs=2, output_dir="run", tracker="tensorboard"))
    assert done.returncode == 0
    assert "already finished: run" in done.stderr
    assert _stamps(folder) == before


def test_the_same_spec_elsewhere_gives_the_same_bytes(run: Callable[..., Path]) -> None:
    first, second = run(output_dir="one"), run(output_dir="two")
    for name in FILES - OUTSIDE - {"run.json"}:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_damage_to_a_finished_run_is_exit_4_and_named(
    run: Callable[..., Path], kdgap: Command, config: Config
) -> None:
    folder = run()
    path = folder / "results.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    for done in (
        kdgap("show", folder),
        kdgap("evaluate", folder),
        kdgap("train", config(epochs=2, output_dir="run")),
    ):
        assert done.returncode == 4
        assert "run/results.json" in done.stderr
        assert len(done.stderr.splitlines()) == 1


# What was asked


def test_a_set_beats_the_file_and_seed_beats_a_set(run: Callable[..., Path]) -> None:
    folder = run("--set", "epochs=1", "--set", "batch-size=64", "--set", "seed=5", "--seed", "7")
    spec = _json(folder / "run.json")["spec"]
    assert (spec["recipe"]["epochs"], spec["recipe"]["batch_size"], spec["seed"]) == (1, 64, 7)
    assert len(_json(folder / "results.json")["history"]) == 1


def test_seed_in_an_output_directory_stands_for_the_seed(
    kdgap: Command, config: Config, workdir: Path
) -> None:
    path = config(output_dir="runs/s{seed}/x")
    assert kdgap("train", path, "--seed", 3).returncode == 0
    assert kdgap("train", path, "--seed", 4).returncode == 0
    assert _names(workdir / "runs") == {"s3", "s4"}
    assert _json(workdir / "runs/s4/x/results.json")["seed"] == 4


def test_without_an_output_directory_the_name_tells_what_was_trained(
    kdgap: Command, config: Config, workdir: Path
) -> None:
    assert kdgap("train", config()).returncode == 0
    (folder,) = (workdir / "runs" / "digits_resnet8x0.125_baseline").iterdir()
    assert folder.name == "seed0-" + _json(folder / "run.json")["id"][:8]


def test_seeds_differ_in_weights_and_methods_share_their_start(
    run: Callable[..., Path], teacher_weights: Path
) -> None:
    def first(folder: Path) -> Any:
        return _json(folder / "results.json")["weight_hash_last"]

    seed_0, seed_1 = first(run(output_dir="a")), first(run(output_dir="b", seed=1))
    assert seed_0 != seed_1
    keys = {"kd_type": "logit", "alpha": 0.0, "teacher_weights": str(teacher_weights)}
    assert first(run(**keys, output_dir="c")) == seed_0


# What is said


def test_json_output_is_the_results(kdgap: Command, config: Config, workdir: Path) -> None:
    done = kdgap("train", config(output_dir="run"), "--json")
    assert json.loads(done.stdout) == _json(workdir / "run" / "results.json")
    shown = json.loads(kdgap("show", "run", "--json").stdout)
    assert [row["path"] for row in shown] == ["run"]


def test_show_gives_the_gain_over_the_runs_own_baseline_only(
    run: Callable[..., Path], kdgap: Command, teacher_weights: Path
) -> None:
    keys = {"kd_type": "logit", "teacher_weights": str(teacher_weights)}
    student, own = run(**keys, output_dir="student"), run(output_dir="own")
    other = run(output_dir="other", batch_size=64)

    def gain(*folders: Path) -> object:
        return json.loads(kdgap("show", *folders, "--json").stdout)[0]["gain"]

    accuracies = [_json(folder / "results.json")["test_acc_best"] for folder in (student, own)]
    assert gain(student, own) == accuracies[0] - accuracies[1]
    assert gain(student, other) is None


def test_no_tracker_leaves_no_tensorboard_folder(run: Callable[..., Path]) -> None:
    assert not (run(tracker="none") / "tensorboard").exists()


def test_the_tensorboard_tracker_writes_the_history(run: Callable[..., Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    folder = run(tracker="tensorboard")
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    history = _json(folder / "results.json")["history"]
    seen = {scalar.step: scalar.value for scalar in events.Scalars("val/acc")}
    assert seen == pytest.approx({entry["epoch"]: entry["val_acc"] for entry in history})


def test_a_smoke_run_is_flagged_everywhere(
    kdgap: Command, config: Config, workdir: Path, teacher_weights: Path
) -> None:
    done = kdgap("train", config(limit=64, output_dir="run"))
    assert "smoke run" in done.stderr
    results, header = _json(workdir / "run/results.json"), _json(workdir / "run/run.json")
    assert (results["smoke"], results["limit"]) == (True, 64)
    assert any("smoke run" in flag for flag in header["flags"])
    assert header["data"]["train"] == header["data"]["val"] == header["data"]["test"] == 64
    assert _json(workdir / "run/test.json")["smoke"] is True
    assert "smoke run" in kdgap("show", "run").stderr
    student = config(
        kd_type="logit",
        teacher_weights="run/checkpoint_best.safetensors",
        output_dir="student",
    )
    assert kdgap("train", student).returncode == 0
    assert _json(workdir / "student/run.json")["flags"] == ["the teacher comes from a smoke run"]


def test_a_full_run_carries_no_flag(run: Callable[..., Path]) -> None:
    folder = run()
    assert _json(folder / "run.json")["flags"] == []
    assert _json(folder / "results.json")["smoke"] is False


# Divergence


@pytest.fixture
def _diverging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is NaN from the 11th step on: with 8 steps an epoch, the 3rd of the 2nd epoch."""
    plain, calls = F.cross_entropy, iter(range(10**6))

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        value: Tensor = plain(logits, labels)
        # Validation calls it too, once an epoch, without a gradient.
        return value * float("nan") if value.requires_grad and next(calls) >= 10 else value

    monkeypatch.setattr(F, "cross_entropy", loss)


@pytest.mark.usefixtures("_diverging")
def test_a_diverging_run_stops_at_its_step_and_leaves_no_result(
    kdgap: Command, config: Config, workdir: Path
) -> None:
    done = kdgap("train", config(epochs=3, output_dir="run"))
    assert done.returncode == 3
    assert done.stdout == ""
    assert "diverged at step 3 of epoch 2" in done.stderr
    assert _names(workdir / "run") == {
        *("run.json", "history.jsonl", "timing.json", "failure.json", ".lock", "attempts.jsonl")
    }
    failure = {"reason": "diverged", "epoch": 2, "step": 3, "format": 2}
    assert RunDirectory(workdir / "run").failed() == failure
    assert len((workdir / "run/history.jsonl").read_text().splitlines()) == 1


@pytest.mark.usefixtures("_diverging")
def test_a_diverged_run_is_shown_as_one(
    kdgap: Command, config: Config, refused: Callable[..., str]
) -> None:
    kdgap("train", config(epochs=3, output_dir="run"))
    for command in ("show", "evaluate"):
        error = refused(kdgap, command, "run")
        assert "diverged" in error
        assert "step 3" in error


def test_a_diverged_run_can_be_run_again(
    run: Callable[..., Path],
    kdgap: Command,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(F, "cross_entropy", lambda logits, _: logits.sum() * float("nan"))
        assert kdgap("train", config(epochs=2, output_dir="run")).returncode == 3
    assert _names(run()) == FILES


def test_a_learning_rate_far_too_large_ends_as_a_failure(
    kdgap: Command, config: Config, workdir: Path
) -> None:
    keys = {"lr": 1000, "momentum": 0.99, "clip_scope": "off", "weight_decay": 10}
    done = kdgap("train", config(**keys, epochs=3, output_dir="run"))
    assert done.returncode == 3, done.stdout
    assert "diverged at step" in done.stderr
    assert not (workdir / "run" / "results.json").exists()


# Disk faults


class _Faults:
    """Lets some writes through, then fails every later one until it is switched off."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.fired = 0, False
        self.error: BaseException = OSError(28, "No space left on device")
        for module in ("files", "store.record", "store.weights"):
            monkeypatch.setattr(f"kdgap.{module}.write_atomic", self._write)

    def after(self, writes: int, error: BaseException | None = None) -> None:
        self.left, self.fired = writes, False
        self.error = error or self.error

    def off(self) -> None:
        self.left = 10**6

    def _write(self, path: Path, content: bytes) -> None:
        if self.left == 0:
            self.fired = True
            raise self.error
        self.left -= 1
        write_atomic(path, content)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> _Faults:
    return _Faults(monkeypatch)


def test_a_disk_full_at_any_write_of_a_run_is_a_failure_that_can_be_run_again(
    kdgap: Command, config: Config, workdir: Path, faults: _Faults
) -> None:
    faults.off()
    assert kdgap("train", config(output_dir="calm")).returncode == 0
    codes = []
    for writes in range(99):
        faults.after(writes)
        done = kdgap("train", config(output_dir=f"run{writes}"))
        if not faults.fired:
            break
        codes.append(done.returncode)
        assert "No space left on device" in done.stderr.splitlines()[-1]
        faults.off()
        assert kdgap("train", config(output_dir=f"run{writes}")).returncode == 0
        for name in ("results.json", "test.json", "checkpoint_last.safetensors"):
            assert (workdir / f"run{writes}" / name).read_bytes() == (
                workdir / "calm" / name
            ).read_bytes()
    # The first write is before training, so it is bad input; later the run has failed.
    assert codes == [2, 3, 3, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_door_that_failed_to_open_at_any_write_opens_at_the_next_try(
    run: Callable[..., Path], kdgap: Command, faults: _Faults, error: BaseException
) -> None:
    faults.off()
    calm, closed = run(output_dir="calm"), run("--no-test", output_dir="closed")
    for writes in range(99):
        folder = Path(shutil.copytree(closed, closed.with_name(f"run{writes}")))
        before = _content(folder)
        faults.after(writes, error)
        done = kdgap("evaluate", folder)
        fired = faults.fired
        faults.off()
        if not fired:
            break
        # 2 says that nothing was written, so it may be said only when that is so.
        full = 2 if _content(folder) == before else 3
        code = 130 if isinstance(error, KeyboardInterrupt) else full
        assert done.returncode == code, done.stderr
        assert kdgap("show", folder).returncode == 0
        assert kdgap("evaluate", folder).returncode == 0
        for name in ("results.json", "test.json"):
            assert (folder / name).read_bytes() == (calm / name).read_bytes(), (writes, name)
        assert _json(folder / "timing.json")["test_openings"], writes
    assert writes > 1


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# As a real process


def test_the_installed_command_trains_evaluates_and_shows(config: Config, workdir: Path) -> None:
    command = Path(sys.executable).with_name("kdgap")
    path = config(output_dir="run", device="cpu")
    done = subprocess.run(
        [str(command), "train", str(path), "--json"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == _json(workdir / "run" / "results.json")
    assert _names(workdir / "run") == FILES
    assert "validation" in done.stderr


def test_kept_predictions_are_the_recorded_accuracies(run: Callable[..., Path]) -> None:
    folder = run()
    test, results = _json(folder / "test.json"), _json(folder / "results.json")
    history = {entry["epoch"]: entry["val_acc"] for entry in results["history"]}
    seen = {"best": history[results["best_val_epoch"]], "last": results["last_val_acc"]}
    for name, expected in (
        (PREDICTIONS_TEST, {key: test[key]["accuracy"] for key in ("best", "last")}),
        (PREDICTIONS_VAL, seen),
    ):
        kept = read_predictions(folder, name)
        assert kept is not None
        for weights, accuracy in expected.items():
            assert (kept.answers(weights) == kept.labels).mean() == accuracy
        assert kept.hashes["best"] == results["weight_hash_best"]


def test_test_predictions_wait_for_the_door(run: Callable[..., Path], kdgap: Command) -> None:
    folder = run("--no-test")
    assert read_predictions(folder, PREDICTIONS_TEST) is None
    assert kdgap("evaluate", folder).returncode == 0
    kept = read_predictions(folder, PREDICTIONS_TEST)
    assert kept is not None
    assert len(kept.labels) == _json(folder / "test.json")["images"]


def test_thumbnails_are_the_test_images_in_the_order_asked_for(run: Callable[..., Path]) -> None:
    folder = run()
    kept = read_predictions(folder, PREDICTIONS_TEST)
    assert kept is not None
    sheet = Image.open(BytesIO(thumbnails(folder, [7, 3, 7], tile=16, columns=2)))
    assert sheet.size == (32, 32)
    tiles = [sheet.crop((x, y, x + 16, y + 16)) for x, y in ((0, 0), (16, 0), (0, 16))]
    assert tiles[0].tobytes() == tiles[2].tobytes() != tiles[1].tobytes()
    dataset = load_dataset("digits", Request(Path()))
    expected = dataset.test.pixels[7, 0].numpy().repeat(2, 0).repeat(2, 1)
    assert (np.asarray(tiles[0])[:, :, 0] == expected).all()
