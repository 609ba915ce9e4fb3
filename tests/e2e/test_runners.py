"""`kdgap run` as a user starts, stops, kills and doubles it: real processes, real signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.e2e.study import (
    contents,
    finish,
    is_alive,
    kill,
    start,
    study_text,
    training,
    workers_of,
)

# The teacher is trained for seconds, on a fast machine too: a signal that is sent when training has
# begun finds it in the middle, not between two runs, where there is no state to save.
LONG: dict[str, Any] = {
    "data": {"name": "digits"},
    "recipe": {"epochs": 2, "batch_size": 64},
    "teachers": {"recipe": {"epochs": 25}},
    "methods": {"logit": {"alpha": [0.3, 0.7], "temperature": 4.0}},
    "finals": {"seeds": [0]},
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The long study, worked on in this process without any trouble."""
    folder = tmp_path_factory.mktemp("calm")
    (folder / "study.yaml").write_text(study_text(**LONG))
    workspace = open_study(folder / "study.yaml", {}, folder / "study")
    start_study(workspace, lambda _: None)
    Worker(workspace, "cpu").work()
    return contents(folder / "study")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(study_text(**LONG))
    return tmp_path


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def finished(folder: Path) -> dict[str, int]:
    """How often each run was finished, as its attempts say."""
    return {
        path.parent.name: path.read_text().count('"ended": "finished"')
        for path in folder.glob("runs/small/runs/*/*/attempts.jsonl")
    }


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_stop_is_polite_and_the_same_command_goes_on(
    folder: Path, calm: dict[str, Any], number: signal.Signals, code: int
) -> None:
    process = start(folder, "study.yaml", "--workers", "2")
    wait_for(lambda: training(folder))
    process.send_signal(number)
    stopped = finish(process)
    assert stopped.returncode == code, stopped.stderr
    assert "the same command goes on from here" in stopped.stderr.splitlines()[-1]
    assert list(folder.glob("runs/small/runs/*/*/state-*.json"))
    assert not training(folder)
    done = finish(start(folder, "study.yaml"))
    assert done.returncode == 0, done.stderr
    assert "goes on from step" in done.stderr
    assert contents(folder / "runs/small") == calm


def test_a_second_ctrl_c_stops_at_once_and_leaves_no_process(folder: Path) -> None:
    process = start(folder, "study.yaml")
    wait_for(lambda: training(folder))
    (worker,) = workers_of(process.pid)
    os.kill(worker, signal.SIGSTOP)  # a worker that does not answer
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert finish(process).returncode == 130
    wait_for(lambda: not is_alive(worker))


def test_two_runners_on_one_study_do_each_run_once(folder: Path, calm: dict[str, Any]) -> None:
    both = [start(folder, "study.yaml"), start(folder, "study.yaml")]
    done = [finish(process) for process in both]
    assert [d.returncode for d in done] == [0, 0], done[0].stderr + done[1].stderr
    assert contents(folder / "runs/small") == calm
    assert set(finished(folder).values()) == {1}


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again(folder: Path, calm: dict[str, Any]) -> None:
    process = start(folder, "study.yaml")
    wait_for(lambda: training(folder))
    kill(workers_of(process.pid)[0])
    done = finish(process)
    assert done.returncode == 0, done.stderr
    assert "a worker was killed by signal 9" in done.stderr
    assert contents(folder / "runs/small") == calm


def test_a_worker_whose_supervisor_is_killed_stops_and_saves(folder: Path) -> None:
    process = start(folder, "study.yaml")
    wait_for(lambda: training(folder))
    (worker,) = workers_of(process.pid)
    kill(process.pid)
    process.communicate()
    wait_for(lambda: not is_alive(worker))
    assert list(folder.glob("runs/small/runs/*/*/state-*.json"))


def test_bad_input_of_a_worker_is_one_line_and_exit_2(folder: Path) -> None:
    text = study_text(data={"name": "cifar10", "root": "nowhere"}, recipe={"epochs": 1})
    (folder / "study.yaml").write_text(text)
    done = finish(start(folder, "study.yaml"))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "nowhere" in last
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_output_that_cannot_be_written_any_more_is_exit_3_and_goes_on_later(
    folder: Path, calm: dict[str, Any]
) -> None:
    # A limit on the size of files stands for a full disk: the teacher's weights do not fit.
    command = f"ulimit -f 40; exec {sys.executable} -m kdgap run study.yaml"
    stopped = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert stopped.returncode == 3, stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "too large" in last
    assert "Traceback" not in stopped.stderr
    done = finish(start(folder, "study.yaml"))
    assert done.returncode == 0, done.stderr
    assert contents(folder / "runs/small") == calm
