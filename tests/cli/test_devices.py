"""`kdgap train --devices 2`: one run in two processes, on the processor."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psutil
import pytest
import torch
import yaml
from torch import Tensor, nn

from kdgap import yamlio
from kdgap.errors import BadInputError, StoppedError
from kdgap.files import parse_json
from kdgap.methods import hyperparameter_names
from kdgap.models.output import Network, Output
from kdgap.models.taps import NOTHING, Taps
from kdgap.planning import devices
from kdgap.running.config import resolve
from kdgap.running.ranks import check_devices, crowding
from kdgap.running.single import train_single
from kdgap.running.stop import Stopper
from kdgap.spec.flat import read_flat
from kdgap.spec.identity import run_id
from kdgap.spec.model import ModelSpec
from kdgap.store.notices import OTHER_DEVICES
from kdgap.store.record import RunDirectory
from tests.cli.conftest import TINY

Command = Callable[..., "CompletedProcess[str]"]
Config = Callable[..., Path]

KEYS: dict[str, object] = {
    "kd_type": "logit",
    "limit": 200,
    "batch_size": 63,  # so the last batch has 11
    "epochs": 2,
    "save_seconds": 0,
    "threads": 1,
    "device": "cpu",
    "output_dir": "run",
    "devices": 2,
}
SAME = (
    *("results.json", "test.json", "history.jsonl"),
    *("checkpoint_best.safetensors", "checkpoint_last.safetensors"),
    *("predictions_val.safetensors", "predictions_test.safetensors"),
)


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def _train(folder: Path, teacher: Path, **changes: object) -> None:
    own = {"teacher_weights": str(teacher / "checkpoint_best.safetensors")}
    keys = {**TINY, **KEYS, **own, "output_dir": str(folder), **changes}
    config, places = read_flat(yamlio.parse(yaml.safe_dump(keys), "c"), {}, hyperparameter_names())
    train_single(*resolve(config, places))


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory, _digits_teacher: Path) -> tuple[Path, Path]:
    """A distilled run on two devices, and one that was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("devices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDGAP_CACHE", str(folder / "cache"))
        _train(folder / "calm", _digits_teacher)
        patch.setattr("kdgap.running.single.Stopper", lambda: StopAt(stop, 1, 2))
        with pytest.raises(StoppedError) as stopped:
            _train(folder / "stopped", _digits_teacher)
        assert stopped.value.exit_code == 143
    return folder / "calm", folder / "stopped"


class StopAt(Stopper):
    """Does something when a state of a place is on disk; states are written at every step."""

    def __init__(self, act: Callable[[], None], epoch: int, step: int) -> None:
        super().__init__()
        self._act: Callable[[], None] | None = act
        self._place = epoch, step

    def __call__(self) -> None:
        from kdgap.engine.cohort import Member

        place = max((m.place for m in _MEMBERS if isinstance(m, Member)), default=(0, 0))
        if self._act is not None and place >= self._place:
            act, self._act = self._act, None
            act()
        super().__call__()


_MEMBERS: list[object] = []
"""Members that were made, the newest last; see `_watched`."""


@pytest.fixture(scope="session", autouse=True)
def _watched() -> Iterator[None]:
    from kdgap.engine import cohort

    first = cohort.Member.__init__

    def init(self: Any, *words: Any, **named: Any) -> None:
        first(self, *words, **named)
        _MEMBERS[:] = [self]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort.Member, "__init__", init)
        yield


@pytest.fixture
def stopped(both: tuple[Path, Path], workdir: Path) -> Path:
    """This test's own copy of the stopped run."""
    return Path(shutil.copytree(both[1], workdir / "run"))


@pytest.fixture
def train(kdgap: Command, config: Config, digits_teacher: Path) -> Command:
    """Go on with, or begin, the run in `run`."""

    def command(*words: object, **changes: object) -> "CompletedProcess[str]":
        weights = str(digits_teacher / "checkpoint_best.safetensors")
        return kdgap("train", config(**{**KEYS, "teacher_weights": weights, **changes}), *words)

    return command


def same(folder: Path, other: Path) -> bool:
    return all((folder / name).read_bytes() == (other / name).read_bytes() for name in SAME)


def json_of(path: Path) -> Any:
    return parse_json(path.read_text(encoding="utf-8"))


def test_a_stopped_run_goes_on_bit_for_bit(
    train: Command, stopped: Path, both: tuple[Path, Path]
) -> None:
    directory = RunDirectory(stopped)
    assert directory.attempts()[-1]["at"] == [1, 2]
    done = train()
    assert done.returncode == 0, done
    assert same(stopped, both[0])
    assert [line["devices"] for line in directory.attempts() if "began" in line] == [2, 2]
    results = json_of(stopped / "results.json")
    assert (results["devices"], results["batch_norm"]) == (2, "synchronised")
    assert results["flags"] == json_of(both[0] / "results.json")["flags"]
    assert psutil.Process().children() == []


def test_another_number_of_devices_is_refused_unless_asked_for_and_then_recorded(
    train: Command, kdgap: Command, stopped: Path, both: tuple[Path, Path]
) -> None:
    refused = train("--devices", 1)
    assert refused.returncode == 2, refused
    assert "begun on 2 devices" in refused.stderr
    assert "--began-with 2" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    done = train("--devices", 1, "--began-with", 2)
    assert done.returncode == 0, done
    directory = RunDirectory(stopped)
    assert [line["devices"] for line in directory.attempts() if "began" in line] == [2, 1]
    header = json_of(stopped / "run.json")
    assert header["spec"]["devices"] == 2
    for record in (header, json_of(stopped / "results.json")):
        assert OTHER_DEVICES.text in record["flags"]
    shown = kdgap("show", stopped)
    assert OTHER_DEVICES.text in shown.stderr
    assert "2, batch norm synchronised" in shown.stdout
    assert not same(stopped, both[0])


def test_the_note_of_other_devices_stays_when_the_first_number_goes_on(
    stopped: Path, digits_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.running.single.Stopper", lambda: StopAt(stop, 1, 3))
    weights = str(digits_teacher / "checkpoint_best.safetensors")
    keys = {**TINY, **KEYS, "teacher_weights": weights, "devices": 1, "output_dir": str(stopped)}
    config, places = read_flat(yamlio.parse(yaml.safe_dump(keys), "c"), {}, hyperparameter_names())
    with pytest.raises(StoppedError):
        train_single(*resolve(config, places, 2))
    newest = max(stopped.glob("state-*.json"))
    assert json_of(newest)["facts"]["other_devices"] is True


def test_nothing_that_was_begun_is_nothing_to_go_on_with(
    refused: Callable[..., str], train: Command
) -> None:
    text = refused(train, "--began-with", 4)
    assert "no run was begun there on 4 devices; leave --began-with out" in text


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_run_in_one_line_and_its_state_is_kept(
    train: Command, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: set[str] = set()

    def kill() -> None:
        (other,) = psutil.Process().children()
        for process in (psutil.Process(), other):
            links = process.net_connections("inet")
            heard.update(link.laddr.ip for link in links if link.status == "LISTEN")
        other.kill()

    monkeypatch.setattr("kdgap.running.single.Stopper", lambda: StopAt(kill, 0, 2))
    done = train(kd_type="none", teacher_weights=None)
    assert done.returncode == 3, done
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert line == "error: rank 1 was killed by signal 9; the last saved state is kept"
    folder = workdir / "run"
    assert "rank 1 was killed by signal 9" in json_of(folder / "failure.json")["reason"]
    newest = json_of(max(folder.glob("state-*.json")))
    assert (newest["facts"]["epoch"], newest["facts"]["step"]) == (0, 2)
    assert RunDirectory(folder).attempts()[-1]["ended"] == "failed"
    assert psutil.Process().children() == []
    # The port and the connections are not open to other machines.
    assert {ip.removeprefix("::ffff:") for ip in heard} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kd_type": "rkd"}, "rkd compares or remembers the images of a batch"),
        ({"kd_type": ["logit", "crd"]}, "cannot compute it on a part each; leave devices out, or"),
        ({"kd_type": "feature", "feat_norm": "teacher_std"}, "feature compares"),
        ({"devices": 0}, "devices: should be greater than or equal to 1"),
        ({"devices": "two"}, "devices: should be a valid integer"),
        ({"batch_norm": "sync"}, "batch_norm: should be 'synchronised' or 'per_rank'"),
        ({"devices": 16}, "the smallest batch of an epoch has 11 images, and 16 devices need 16"),
        ({"devices": 6, "batch_norm": "per_rank"}, "11 images, and 6 devices need 12"),
        (
            {"model": "wrn_16_1", "width": 1.0, "model_arguments": {"dropout": 0.3}},
            "draws random numbers in training",
        ),
    ],
)
def test_what_devices_cannot_share_is_refused(
    refused: Callable[..., str], train: Command, changes: dict[str, Any], text: str
) -> None:
    if "kd_type" not in changes:
        changes = {"kd_type": "none", "teacher_weights": None, **changes}
    assert text in refused(lambda: train(**changes))


def test_batch_norm_of_one_device_is_left_out(config: Config, tmp_path: Path) -> None:
    def run(**changes: object) -> Any:
        document = yamlio.load(config(**changes))
        return resolve(*read_flat(document, {}, hyperparameter_names()))[0]

    plain, given = run(), run(batch_norm="per_rank", devices=1)
    assert run_id(plain) == run_id(given)
    assert given.place.dropped == {"batch_norm": "per_rank"}
    ids = {run_id(run(devices=n, batch_norm=b)) for n in (2, 3) for b in ("per_rank", None)}
    assert len(ids | {run_id(plain)}) == 5
    assert run_id(run(devices=2)) == run_id(run(devices=2, batch_norm="synchronised"))
    assert not {"devices", "batch_norm"} & plain.model_dump().keys()


def test_more_devices_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    check_devices(torch.device("cuda"), 2)
    check_devices(torch.device("mps"), 1)
    for device, text in (
        ("cuda", "devices: 3, and this machine has 2"),
        ("cuda:1", "give device: cuda"),
        ("mps", "not mps; leave devices out"),
    ):
        with pytest.raises(BadInputError, match=text):
            check_devices(torch.device(device), 3)


def test_threads_beyond_the_cores_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 4)
    assert crowding(torch.device("cpu"), 2, 2) == ""
    assert crowding(torch.device("cpu"), 1, 8) == ""
    assert "3 ranks with 2 threads each share 4 cores" in crowding(torch.device("cpu"), 3, 2)


class Mixing(Network):
    """A network that centres its logits over the batch, if asked."""

    def __init__(self, *, mixes: bool) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm2d(1), nn.Linear(64, 10)
        self.mixes = mixes

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        logits = self.linear(self.norm(images).flatten(1))
        return Output(logits - logits.mean(0) if self.mixes else logits)


@pytest.mark.parametrize("mixes", [True, False])
def test_a_network_that_mixes_the_images_of_a_batch_is_refused(
    monkeypatch: pytest.MonkeyPatch, mixes: bool
) -> None:
    monkeypatch.setattr(devices, "build_model", lambda *_: Mixing(mixes=mixes))
    devices._try_shared.cache_clear()
    spec = ModelSpec(name="resnet8")
    if mixes:
        with pytest.raises(BadInputError, match="answers an image otherwise when others are"):
            devices._try_shared(spec, 10, 1, (8, 8))
    else:
        devices._try_shared(spec, 10, 1, (8, 8))
    devices._try_shared.cache_clear()
