"""Training and studies from a thread, as in a notebook or a server: signals are not ours."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdgap import child, error_line, yamlio
from kdgap.errors import StoppedError
from kdgap.methods import hyperparameter_names
from kdgap.running.config import resolve
from kdgap.running.single import train_single
from kdgap.running.stop import CODES, Stopper, handling
from kdgap.spec.flat import read_flat
from kdgap.spec.study import STAGES
from kdgap.study.supervise import Supervisor
from kdgap.study.workspace import start_study
from tests.e2e.study import contents
from tests.study.conftest import Open, Work


def in_a_thread(act: Callable[[], Any]) -> Any:
    """Act in a thread; return what it returned or raise what it raised."""
    outcome: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(act())
        except BaseException as error:  # noqa: BLE001  (raised again where it is seen)
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return outcome[0]


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in CODES]


def train(folder: Path) -> dict[str, bytes]:
    keys = {
        "data": "digits",
        "limit": 128,
        "model": "resnet8",
        "width": 0.125,
        "epochs": 1,
        "threads": 1,
        "tracker": "none",
        "output_dir": str(folder),
    }
    text = yaml.safe_dump(keys)
    config, places = read_flat(yamlio.parse(text, "run.yaml"), {}, hyperparameter_names())
    record = train_single(*resolve(config, places))
    names = ("results.json", "test.json", "checkpoint_best.safetensors")
    return {name: (record.path / name).read_bytes() for name in names}


def test_a_run_is_trained_in_a_thread_with_the_bits_of_any_other(tmp_path: Path) -> None:
    before = handlers()
    assert in_a_thread(lambda: train(tmp_path / "thread")) == train(tmp_path / "main")
    assert handlers() == before


def test_a_study_is_done_in_a_thread(worked: Work) -> None:
    directory = in_a_thread(lambda: worked("thread"))
    assert contents(directory.path) == contents(worked("main").path)


def test_a_study_is_supervised_from_a_thread(opened: Open) -> None:
    workspace = opened(selection=None, methods={"logit": {"alpha": 0.5, "temperature": 4.0}})
    directory = start_study(workspace, lambda _: None)
    printed: list[str] = []
    supervisor = Supervisor(
        directory.path, ["cpu"], ["--data-root", "data"], list(STAGES), lambda: None, printed.append
    )
    before = handlers()
    assert in_a_thread(supervisor.run) == (0, ""), printed
    assert len(contents(directory.path)) == 5
    assert handlers() == before


FAILS = """
import sys
from kdgap.error_line import hand_over
print("error: of somebody else", file=sys.stderr)
assert hand_over({words!r}) or not {words!r}
sys.exit(2)
"""


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("no such data", "no such data"),
        ("error: é \ud800", "error: é \\ud800"),
        ("", "a worker ended without a word"),
    ],
)
def test_a_worker_hands_its_error_over_apart_from_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, reported: str
) -> None:
    original = subprocess.Popen

    def failing(_: Any, **options: Any) -> Any:
        return original([sys.executable, "-c", FAILS.format(words=words)], **options)

    monkeypatch.setattr(subprocess, "Popen", failing)
    remarks: list[str] = []
    before = len(list(Path("/dev/fd").iterdir()))
    supervisor = Supervisor(tmp_path, ["cpu"], [], ["teachers"], lambda: None, remarks.append)
    assert in_a_thread(supervisor.run) == (2, reported)
    assert remarks == ["error: of somebody else"]
    assert len(list(Path("/dev/fd").iterdir())) <= before


def test_only_a_pipe_takes_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ends = os.pipe()
    with (tmp_path / "file").open("w") as file:
        for number in ("", "-1", "two", "9999", "9" * 30, str(file.fileno())):
            monkeypatch.setenv(error_line.VARIABLE, number)
            assert not error_line.hand_over("words")
        monkeypatch.setenv(error_line.VARIABLE, str(ends[1]))
        assert error_line.VARIABLE not in child.environment()
        assert error_line.hand_over("words")
        assert error_line.hand_over("later")
    assert os.read(ends[0], 100) == b"words\nlater\n"
    assert (tmp_path / "file").read_text() == ""
    for end in ends:
        os.close(end)


def test_a_worker_in_a_thread_still_stops_when_its_parent_is_gone() -> None:
    def stop() -> None:
        with Stopper(parent=os.getppid() + 1) as pause:
            pause()

    with pytest.raises(StoppedError) as stopped:
        in_a_thread(stop)
    assert stopped.value.exit_code == 143


def test_signals_of_the_program_around_reach_it_while_a_thread_trains() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        entered, leave = threading.Event(), threading.Event()

        def act() -> None:
            with Stopper() as pause:
                entered.set()
                leave.wait(60)
                pause()  # nothing came for this thread

        thread = threading.Thread(target=act)
        thread.start()
        entered.wait(60)
        os.kill(os.getpid(), signal.SIGTERM)
        leave.set()
        thread.join()
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_python_did_not_set_does_not_break_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(signal, "signal", lambda _, handler: given.append(handler))
    with handling(lambda *_: None):
        pass
    assert given[2:] == [signal.SIG_DFL, signal.SIG_DFL]
