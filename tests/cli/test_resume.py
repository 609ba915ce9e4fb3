"""`kdgap train` that was stopped, killed, refused by the disk or damaged ends in the same bytes."""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess, Popen
from typing import Any

import pytest
import torch
import yaml

from kdgap import yamlio
from kdgap.data import load_dataset
from kdgap.engine.cohort import Member
from kdgap.errors import StoppedError
from kdgap.files import append_line, read_json, write_atomic
from kdgap.methods import hyperparameter_names
from kdgap.running.config import resolve
from kdgap.running.door import Opened, open_door
from kdgap.running.single import train_single
from kdgap.running.stop import Stopper
from kdgap.spec.flat import read_flat
from kdgap.store.notices import ELSEWHERE
from kdgap.store.record import RunDirectory
from kdgap.store.state import StateFiles
from tests.cli.conftest import TINY

Command = Callable[..., "CompletedProcess[str]"]
Config = Callable[..., Path]

STEPS = 8  # an epoch of 1,000 digits in batches of 128
SECOND_EPOCH = STEPS + 2 + 3  # validation can stop before each of its two batches
SAME = (
    "results.json",
    "test.json",
    "history.jsonl",
    "checkpoint_best.safetensors",
    "checkpoint_last.safetensors",
    "predictions_val.safetensors",
    "predictions_test.safetensors",
)
KEYS: dict[str, object] = {"save_seconds": 0, "threads": 1, "device": "cpu", "output_dir": "run"}


class Signalled(Stopper):
    """Gets a real signal at the n-th chance to stop, counted from 0."""

    def __init__(self, number: signal.Signals, chances: int) -> None:
        super().__init__()
        self._number, self._left = number, chances

    def __call__(self) -> None:
        if self._left == 0:
            signal.raise_signal(self._number)
        self._left -= 1
        super().__call__()


def _train(folder: Path, **changes: object) -> None:
    keys = {**TINY, **KEYS, "output_dir": str(folder), **changes}
    config, places = read_flat(
        yamlio.parse(yaml.safe_dump(keys), "config"), {}, hyperparameter_names()
    )
    train_single(*resolve(config, places))


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return an uninterrupted run of so many epochs, trained once and only to be read."""
    trained: dict[int, Path] = {}

    def calm(epochs: int) -> Path:
        if epochs not in trained:
            folder = tmp_path_factory.mktemp("calm") / "run"
            _train(folder, epochs=epochs, save_seconds=120)
            trained[epochs] = folder
        return trained[epochs]

    return calm


@pytest.fixture(scope="session")
def _stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that was stopped in its second, with two states."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDGAP_CACHE", str(folder.parent / "cache"))
        patch.setattr(
            "kdgap.running.single.Stopper", lambda: Signalled(signal.SIGINT, SECOND_EPOCH)
        )
        with pytest.raises(StoppedError):
            _train(folder, epochs=2)
    assert len(list(folder.glob("state-*.json"))) == 2
    assert len(RunDirectory(folder).history()) == 1
    return folder


@pytest.fixture
def stopped(_stopped: Path, workdir: Path) -> Path:
    """This test's own copy of a stopped run, which its own command can go on with."""
    return Path(shutil.copytree(_stopped, workdir / "run"))


@pytest.fixture
def train(kdgap: Command, config: Config) -> Command:
    """Train into `run`: two epochs, saved after every step."""

    def command(*words: object, **changes: object) -> "CompletedProcess[str]":
        return kdgap("train", config(**({"epochs": 2} | KEYS | changes)), *words)

    return command


@pytest.fixture
def same(calm: Callable[[int], Path]) -> Callable[..., None]:
    """Assert that a finished run has the bytes of an uninterrupted one, and no state any more."""

    def check(folder: Path, epochs: int = 2) -> None:
        for name in SAME:
            assert (folder / name).read_bytes() == (calm(epochs) / name).read_bytes(), name
        RunDirectory(folder).read()
        assert not list(folder.glob("state-*"))
        assert not list(folder.glob(".tmp-*"))

    return check


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the next runs get a signal at a chance; None lets them be."""

    def at(chances: int | None, number: signal.Signals = signal.SIGINT) -> None:
        stopper = Stopper if chances is None else lambda: Signalled(number, chances)
        monkeypatch.setattr("kdgap.running.single.Stopper", stopper)

    return at


def _place(folder: Path) -> tuple[int, int]:
    """Epoch and step of the newest state, which is whole."""
    states = StateFiles(folder, read_json(folder / "run.json")["id"])
    snapshot = states.read()
    assert snapshot is not None
    assert states.problems == []
    return snapshot.facts["epoch"], snapshot.facts["step"]


# Stopped politely


@pytest.mark.parametrize(
    ("number", "code", "chances", "place"),
    [
        pytest.param(signal.SIGINT, 130, 5, (0, 5), id="SIGINT in the first epoch"),
        pytest.param(signal.SIGINT, 130, STEPS, (0, STEPS), id="SIGINT during validation"),
        pytest.param(signal.SIGTERM, 143, SECOND_EPOCH, (1, 3), id="SIGTERM in the second epoch"),
    ],
)
def test_a_signal_saves_the_run_and_the_same_command_ends_in_the_same_bytes(
    train: Command,
    signalled: Callable[..., None],
    same: Callable[..., None],
    workdir: Path,
    number: signal.Signals,
    code: int,
    chances: int,
    place: tuple[int, int],
) -> None:
    before = signal.getsignal(number)
    signalled(chances, number)
    done = train(save_seconds=120)  # so the state is there because of the signal
    assert done.returncode == code
    assert done.stdout == ""
    assert "stopped and saved" in done.stderr.splitlines()[-1]
    assert signal.getsignal(number) is before
    assert not (workdir / "run" / "manifest.json").exists()
    assert _place(workdir / "run") == place
    signalled(None)
    again = train()
    assert again.returncode == 0, again.stderr
    assert f"goes on from step {place[1]} of epoch {place[0] + 1}" in again.stderr
    same(workdir / "run")
    ended = [line["ended"] for line in RunDirectory(workdir / "run").attempts() if "ended" in line]
    assert ended == ["stopped", "finished"]


def test_a_signal_before_the_first_step_leaves_a_run_that_starts_from_its_beginning(
    train: Command, signalled: Callable[..., None], same: Callable[..., None], workdir: Path
) -> None:
    signalled(0)
    assert train(epochs=1).returncode == 130
    assert not list((workdir / "run").glob("state-*"))
    signalled(None)
    again = train(epochs=1)
    assert again.returncode == 0
    assert "goes on" not in again.stderr
    same(workdir / "run", 1)


def test_a_run_stopped_again_and_again_ends_in_the_same_bytes(
    train: Command, signalled: Callable[..., None], same: Callable[..., None], workdir: Path
) -> None:
    places = []
    for _ in range(3):
        signalled(6)
        assert train().returncode == 130
        places.append(_place(workdir / "run"))
    assert places == sorted(set(places))
    signalled(None)
    assert train().returncode == 0
    same(workdir / "run")
    assert read_json(workdir / "run" / "timing.json")["attempts"] == 7


def test_a_run_stopped_while_its_test_door_opens_is_not_trained_again(
    train: Command,
    same: Callable[..., None],
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*args: Any, **options: Any) -> Opened:
        signal.raise_signal(signal.SIGTERM)
        return open_door(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("kdgap.running.single.open_door", interrupted)
        assert train(epochs=1).returncode == 143
    assert not (workdir / "run" / "test.json").exists()
    monkeypatch.setattr(Member, "take_step", lambda *_, **__: pytest.fail("it trained"))
    assert train(epochs=1).returncode == 0
    same(workdir / "run", 1)


def test_a_second_ctrl_c_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    with Stopper() as pause:
        pause()
        signal.raise_signal(signal.SIGINT)
        assert codes == []
        signal.raise_signal(signal.SIGINT)
        assert codes == [130]


def test_a_run_does_not_go_on_with_other_data(
    train: Command, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*args: Any, **options: Any) -> Any:
        return replace(load_dataset(*args, **options), fingerprint="0" * 64)

    before = {path.name: path.read_bytes() for path in stopped.glob("state-*")}
    with monkeypatch.context() as patch:
        patch.setattr("kdgap.running.single.load_dataset", changed)
        done = train()
    assert done.returncode == 2
    assert "was being trained on other data" in done.stderr.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in stopped.glob("state-*")} == before
    assert train().returncode == 0


def test_a_resumed_run_on_the_same_machine_carries_no_flag(train: Command, stopped: Path) -> None:
    assert train().returncode == 0
    assert read_json(stopped / "run.json")["flags"] == []


def _run_facts(path: Path) -> dict[str, Any]:
    """What `run.json` says of the run, and not of where it was trained."""
    run: dict[str, Any] = read_json(path)
    del run["spec"]["place"]
    run.pop("checksum", None)
    return run


HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "learning rate": lambda run: run["spec"]["recipe"].update(lr=9.0),
    "seed": lambda run: run["spec"].update(seed=5),
    "flags": lambda run: run.update(flags=["smoke run"]),
    "environment": lambda run: run["environment"].update(threads=9),
    "provenance": lambda run: run.update(provenance={}),
    "parameters": lambda run: run["model"].update(parameters=1),
    "fingerprint": lambda run: run["data"].update(fingerprint="0"),
    "another id": lambda run: run.update(id="0" * 64),
    "no spec": lambda run: run.pop("spec"),
    "all": lambda run: run.clear(),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_resumed_run_is_what_its_id_says_whatever_became_of_its_header(
    train: Command, stopped: Path, same: Callable[..., None], what: str
) -> None:
    path = stopped / "run.json"
    before, changed = _run_facts(path), read_json(path)
    HEADERS[what](changed)
    path.write_text(json.dumps(changed))
    done = train()
    assert done.returncode == 0
    assert "written anew from what is asked" in done.stderr
    same(stopped)
    assert _run_facts(path) == before


@pytest.mark.parametrize("what", ["learning rate", "flags", "parameters", "fingerprint"])
def test_a_header_of_before_seals_is_held_to_what_is_asked(
    train: Command, stopped: Path, same: Callable[..., None], what: str
) -> None:
    path = stopped / "run.json"
    before, changed = _run_facts(path), {**read_json(path), "format": 1}
    changed.pop("checksum", None)
    HEADERS[what](changed)
    path.write_text(json.dumps(changed))
    assert train().returncode == 0
    same(stopped)
    assert _run_facts(path) == before


@pytest.mark.parametrize("text", ["", "{", "[]", None])
def test_a_header_that_is_torn_or_gone_is_written_anew(
    train: Command, stopped: Path, same: Callable[..., None], text: str | None
) -> None:
    path = stopped / "run.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert train().returncode == 0
    same(stopped)


@pytest.mark.parametrize("name", ["attempts.jsonl", "timing.json", "tensorboard", "failure.json"])
@pytest.mark.parametrize("odd", ['[]\n7\n{"began": 1}\n{"began": "x", "from": 3}\n', "folder"])
def test_an_odd_side_file_ends_no_run(
    train: Command, stopped: Path, same: Callable[..., None], name: str, odd: str
) -> None:
    path = stopped / name
    path.unlink(missing_ok=True)
    if odd == "folder":
        (path / "below").mkdir(parents=True)
    else:
        path.write_text(odd)
    assert train().returncode == 0
    same(stopped)


def test_epochs_that_were_noted_after_the_last_save_are_not_noted_twice(
    train: Command, stopped: Path, same: Callable[..., None]
) -> None:
    with (stopped / "history.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "val_acc": 0.25}\n{"epoch": 3, "va')
    assert train().returncode == 0
    same(stopped)


def test_states_beside_a_finished_record_are_removed_and_the_record_stays(
    train: Command, stopped: Path, calm: Callable[[int], Path], same: Callable[..., None]
) -> None:
    states = {path.name: path.read_bytes() for path in stopped.glob("state-*")}
    shutil.rmtree(stopped)
    shutil.copytree(calm(2), stopped)
    for name, content in states.items():
        (stopped / name).write_bytes(content)
    done = train()
    assert done.returncode == 0
    assert "already finished" in done.stderr
    same(stopped)


def test_a_resumed_run_has_each_epoch_once_in_tensorboard(
    train: Command, signalled: Callable[..., None], workdir: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    signalled(SECOND_EPOCH)
    assert train(tracker="tensorboard").returncode == 130
    signalled(None)
    assert train(tracker="tensorboard").returncode == 0
    folder = workdir / "run" / "tensorboard"
    assert len(list(folder.iterdir())) == 1
    events = EventAccumulator(str(folder))
    events.Reload()
    history = read_json(workdir / "run" / "results.json")["history"]
    for tag, key in (("val/acc", "val_acc"), ("train/loss_ce", "loss_ce")):
        assert [(e.step, e.value) for e in events.Scalars(tag)] == [
            (entry["epoch"], pytest.approx(entry[key])) for entry in history
        ]


# Elsewhere


@pytest.fixture
def _threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_threads_restored")
def test_a_run_resumed_with_other_threads_is_flagged_for_good(
    train: Command, kdgap: Command, stopped: Path, signalled: Callable[..., None]
) -> None:
    signalled(1)
    assert train(threads=2).returncode == 130
    signalled(None)
    assert train(threads=1).returncode == 0  # back home, but not the same bits any more
    assert read_json(stopped / "run.json")["flags"] == [ELSEWHERE.text]
    shown = kdgap("show", stopped)
    assert shown.returncode == 0
    assert ELSEWHERE.text in " ".join((shown.stdout + shown.stderr).split())


@pytest.mark.usefixtures("_threads_restored")
def test_a_run_begun_anew_with_other_threads_is_not_flagged(
    train: Command, signalled: Callable[..., None], workdir: Path
) -> None:
    signalled(2)
    assert train(epochs=1).returncode == 130
    signalled(None)
    for path in workdir.glob("run/state-*"):
        path.unlink()
    assert train(epochs=1, threads=2, save_seconds=120).returncode == 0
    header = read_json(workdir / "run" / "run.json")
    assert header["flags"] == []
    assert header["environment"]["threads"] == 2


# Damaged states


def _flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_flipped_bit_in_the_newest_state_costs_one_interval(
    train: Command, stopped: Path, same: Callable[..., None], suffix: str
) -> None:
    newest = max(stopped.glob(f"state-*.{suffix}"))
    _flip(newest, 0.7)
    done = train()
    assert done.returncode == 0
    remarks = [line for line in done.stderr.splitlines() if "state passed over" in line]
    assert len(remarks) == 1
    assert newest.name in remarks[0]
    assert "goes on from step" in done.stderr
    same(stopped)


def test_with_every_state_damaged_the_run_says_so_and_starts_from_its_beginning(
    train: Command, stopped: Path, same: Callable[..., None]
) -> None:
    for path in stopped.glob("state-*.safetensors"):
        _flip(path, 0.5)
    done = train()
    assert done.returncode == 0
    assert done.stderr.count("state passed over") == 2
    assert "no state is whole; training starts from its beginning" in done.stderr
    same(stopped)
    began = [line["from"] for line in RunDirectory(stopped).attempts() if "began" in line]
    assert began == [[0, 0], [0, 0]]


def test_left_over_temporary_files_are_not_read_and_go_away(
    train: Command, stopped: Path, same: Callable[..., None]
) -> None:
    newest = max(stopped.glob("state-*.json"))
    (stopped / f".tmp-1-{newest.name}").write_bytes(newest.read_bytes()[:50])
    newest.unlink()
    assert train().returncode == 0
    same(stopped)


# A full disk


class _Full:
    """Lets some calls of a function that writes through, then fails every later one."""

    def __init__(self, write: Callable[[Path, Any], None], left: int) -> None:
        self._write, self._left = write, left

    def __call__(self, path: Path, content: Any) -> None:
        if self._left == 0:
            raise OSError(28, "No space left on device")
        self._left -= 1
        self._write(path, content)


# The first write is `run.json`; then come two for each of seven saves, and the weights.
@pytest.mark.parametrize("writes", [1, 2, 3, 4, 11, 15, 16])
def test_a_disk_that_is_full_at_any_write_keeps_the_state_before_and_the_run_goes_on_later(
    train: Command,
    same: Callable[..., None],
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    with monkeypatch.context() as patch:
        full = _Full(write_atomic, writes)
        for module in ("files", "store.record", "store.weights", "store.state"):
            patch.setattr(f"kdgap.{module}.write_atomic", full)
        done = train(epochs=1)
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert not (workdir / "run" / "manifest.json").exists()
    saved = min((writes - 1) // 2, STEPS - 1)
    if saved:
        assert _place(workdir / "run") == (0, saved)
    again = train(epochs=1)
    assert again.returncode == 0, again.stderr
    assert (f"goes on from step {saved} of epoch 1" in again.stderr) is (saved > 0)
    same(workdir / "run", 1)


def test_a_disk_that_is_full_when_an_epoch_is_noted_costs_no_epoch(
    train: Command,
    same: Callable[..., None],
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("kdgap.store.record.append_line", _Full(append_line, 2))
        done = train()  # the attempt and the first epoch are noted, the second is not
    assert done.returncode == 3
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert len(RunDirectory(workdir / "run").history()) == 1
    assert train().returncode == 0
    same(workdir / "run")


# Whose directory it is


def test_a_symbolic_link_as_output_directory_is_refused(
    refused: Callable[..., str], kdgap: Command, config: Config, stopped: Path, workdir: Path
) -> None:
    (workdir / "link").symlink_to(stopped)
    (workdir / "dangling").symlink_to(workdir / "nowhere")
    for name in ("link", "dangling", "link/"):
        error = refused(kdgap, "train", config(**KEYS | {"epochs": 2, "output_dir": name}))
        assert "symbolic link" in error


def test_a_run_whose_lock_is_held_is_left_alone(
    refused: Callable[..., str], kdgap: Command, config: Config, stopped: Path
) -> None:
    lock = RunDirectory(stopped).try_lock()
    assert lock is not None
    with lock:
        error = refused(kdgap, "train", config(**KEYS | {"epochs": 2}))
    assert f"process {os.getpid()} on " in error
    assert "is training there" in error


# As real processes

LONG = 20  # epochs: several times the longest wait for a signal, on a fast machine too


@pytest.fixture
def training(config: Config, workdir: Path) -> Iterator[Callable[[], "Popen[bytes]"]]:
    """Start `kdgap train` as a process and return it once it has saved its third state."""
    started: list[Popen[bytes]] = []

    def start() -> "Popen[bytes]":
        command = [Path(sys.executable).with_name("kdgap"), "train", config(epochs=LONG, **KEYS)]
        with (workdir.parent / "said").open("wb") as stderr:
            process = Popen([str(word) for word in command], stdout=DEVNULL, stderr=stderr)
        started.append(process)
        end = time.monotonic() + 300
        while not any(p.stem >= "state-000003" for p in workdir.glob("run/state-*.json")):
            assert process.poll() is None, (workdir.parent / "said").read_text()
            assert time.monotonic() < end
            time.sleep(0.005)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_process_refuses_another_one_and_ends_saved_on_a_signal(
    training: Callable[[], "Popen[bytes]"],
    train: Command,
    same: Callable[..., None],
    workdir: Path,
    number: signal.Signals,
    code: int,
) -> None:
    process = training()
    process.send_signal(signal.SIGSTOP)  # it must not finish before the second has started
    second = train(epochs=LONG, save_seconds=120)
    assert second.returncode == 2
    assert f"process {process.pid} on " in second.stderr
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    assert process.wait(300) == code
    lines = (workdir.parent / "said").read_text().splitlines()
    assert "stopped and saved" in lines[-1]
    place = _place(workdir / "run")
    assert RunDirectory(workdir / "run").attempts()[-1]["at"] == list(place)
    assert train(epochs=LONG, save_seconds=120).returncode == 0
    same(workdir / "run", LONG)


@pytest.mark.parametrize(
    "moment", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 4))]
)
def test_a_process_killed_at_any_moment_goes_on_to_the_same_bytes(
    training: Callable[[], "Popen[bytes]"],
    train: Command,
    same: Callable[..., None],
    workdir: Path,
    moment: int,
) -> None:
    process = training()
    time.sleep(random.Random(moment).uniform(0, 0.6))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert _place(workdir / "run") >= (0, 2)
    done = train(epochs=LONG, save_seconds=120)
    assert done.returncode == 0, done.stderr
    assert "goes on from step" in done.stderr
    same(workdir / "run", LONG)
    assert read_json(workdir / "run" / "run.json")["flags"] == []
