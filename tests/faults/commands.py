"""The commands that faults are tried on, each with a small beginning made by `kdgap` itself."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tests.e2e.study import study_text
from tests.faults.trial import Server
from tests.store.foreign_files import write

STUDY = study_text(
    data={"name": "digits", "limit": 64, "val_size": 16},
    models={
        "big": {"name": "resnet8", "width": 0.125},
        "little": {"name": "resnet8", "width": 0.0625},
    },
    recipe={"epochs": 1, "batch_size": 32},
    methods={"logit": {"alpha": [0.3, 0.7], "temperature": 4.0}},
    finals={"seeds": [0]},
)  # fmt: skip
RUN = json.dumps({
    "model": "resnet8", "width": 0.0625, "data": "digits", "limit": 64, "val_size": 16,
    "epochs": 2, "batch_size": 32, "threads": 1, "tracker": "none", "output_dir": "run",
    "save_seconds": 0,
})  # fmt: skip
Make = Callable[[Path, Server], None]


@dataclass(frozen=True)
class Command:
    """A command that faults are tried on.

    Attributes:
        words: the command.
        make: makes the folder that it begins with.
        repair: what a user gives after exit code 3 or 4.
        slow: whether it has so many calls that `make faults` tries only a part of them.
    """

    words: list[str]
    make: Make
    repair: list[list[str]] = field(default_factory=list)
    slow: bool = False


def _run(folder: Path, server: Server, *words: str) -> None:
    scratch = folder.with_name(f"{folder.name}-scratch")
    scratch.mkdir(exist_ok=True)
    ended = server.run(folder=str(scratch), cwd=str(folder), cache=str(folder / "cache"),
                       words=list(words), counted=False, fault="", at=0)  # fmt: skip
    assert ended.code == 0, ended.err


def _flat(folder: Path, _: Server) -> None:
    (folder / "run.yaml").write_text(RUN)


def _study(folder: Path, _: Server) -> None:
    (folder / "study.yaml").write_text(STUDY)


_KEPT: dict[Server, Path] = {}
"""Where each server's finished study is: trained once, for a study can be moved."""


def _finished(folder: Path, server: Server) -> None:
    if server in _KEPT:
        shutil.copytree(_KEPT[server], folder, dirs_exist_ok=True)
        return
    _study(folder, server)
    _run(folder, server, "run", "study.yaml")
    _KEPT[server] = folder.with_name("kept")
    shutil.copytree(folder, _KEPT[server])


def _judged(folder: Path, server: Server) -> None:
    _finished(folder, server)
    shutil.rmtree(folder / "runs" / "small" / "analysis")
    (folder / "runs" / "small" / "report.html").unlink()


def _stale(folder: Path, server: Server) -> None:
    _finished(folder, server)
    changed = json.loads(STUDY) | {"recipe": {"epochs": 2, "batch_size": 32}}
    (folder / "study.yaml").write_text(json.dumps(changed))
    _run(folder, server, "run", "study.yaml", "--only", "teachers")


def _results(folder: Path, _: Server) -> None:
    for seed in range(2):
        place = f"runs/final/resnet50_to_resnet18_logit/seed{seed}"
        write(folder / "theirs", place, seed=seed)
        write(folder / "theirs", f"runs/final/resnet18_baseline/seed{seed}", seed=seed,
              kd_type="none", teacher=None)  # fmt: skip


def _checkpoint(folder: Path, _: Server) -> None:
    from kdgap.models.build import build_model
    from kdgap.spec.model import ModelSpec

    network = build_model(ModelSpec(name="resnet8", width=0.0625), 10, 3, (32, 32), 0)
    torch.save({"model_state_dict": network.state_dict()}, folder / "weights.pth")


_CLEAN = ["clean", "runs/small", "--yes"]
COMMANDS = {
    "train": Command(["train", "run.yaml"], _flat),
    "run": Command(["run", "study.yaml"], _study, [_CLEAN], slow=True),
    "import": Command(["import", "theirs", "--out", "imported"], _results),
    "convert": Command(
        ["convert", "weights.pth", "--model", "resnet8", "--width", "0.0625", "--out",
         "weights.safetensors"], _checkpoint),
    "analyze": Command(["analyze", "runs/small"], _judged),
    "report": Command(["report", "runs/small", "--figures", "figures"], _judged),
    "export": Command(["explore", "runs/small", "--export", "page"], _finished),
    "clean": Command(_CLEAN, _stale),
}  # fmt: skip
