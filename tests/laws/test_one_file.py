"""A method, a family of networks and a data set are one file each, put beside the others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kdgap

METHOD = """\
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.methods.method import STRICT, Alpha, Mixed, Step, Temperature, Term, method
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output


@method
@dataclass(frozen=True, config=STRICT)
class Squared(Mixed):
    \"\"\"Ba and Caruana 2014: the squared error of the logits.\"\"\"

    name: ClassVar[str] = "squared"
    label: ClassVar[str] = "Logit matching"
    summary: ClassVar[str] = "the teacher's logits, as they are"
    citation: ClassVar[str] = "Ba and Caruana 2014, Do Deep Nets Really Need to be Deep?"
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"squared_beta": "beta"}

    alpha: Alpha = 0.5
    beta: Temperature = 1.0

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        error = (wide(student.logits) - wide(teacher.logits)).square().mean()
        return {"squared": Term(self.beta, error)}
"""
FAMILY = """\
from kdgap.models.entry import MODELS, ModelEntry


def _build(spec, classes, channels):
    from kdgap.models.cifar_resnet import CifarResNet

    width = round(4 * spec.width)
    return CifarResNet(8, (width, width, 2 * width, 4 * width), classes, channels)


MODELS.register("thin8")(
    ModelEntry(build=_build, citation="nobody 2026", stages=("layer1", "layer2", "layer3"),
               stems=("cifar",), total_stride={"cifar": 4}, base_channels=4)
)
"""
DATA_SET = """\
from kdgap.data.dataset import Decoded, Images, Shape, dataset
from kdgap.deferred import torch


@dataset("noise", summary="noise", citation="nobody 2026", val_size=32, augmentation="none",
         shape=Shape(2, 1, (8, 8), 128, 64))
def noise(request):
    generator = torch.Generator().manual_seed(0)

    def part(count):
        pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.arange(count) % 2)

    return Decoded(part(128), part(64), ("a", "b"), "made up")
"""
STUDY = {
    "name": "new",
    "data": {"name": "noise"},
    "models": {"t": {"name": "thin8"}, "s": {"name": "thin8", "width": 0.5}},
    "pairs": [{"teacher": "t", "student": "s"}],
    "recipe": {"epochs": 1, "batch_size": 32},
    "methods": {"squared": {"alpha": 0.5, "beta": [0.5, 1.0]}},
    "selection": {"seeds": [10]},
    "finals": {"seeds": [0, 1]},
}


def test_a_file_is_all_that_it_takes(tmp_path: Path) -> None:
    package = tmp_path / "package" / "kdgap"
    shutil.copytree(Path(kdgap.__file__).parent, package, ignore=shutil.ignore_patterns("*.pyc"))
    (package / "methods" / "squared.py").write_text(METHOD)
    (package / "models" / "families" / "thin.py").write_text(FAMILY)
    (package / "data" / "sets" / "noise.py").write_text(DATA_SET)
    (tmp_path / "study.yaml").write_text(json.dumps(STUDY))

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kdgap", *words],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(package.parent),
                "PYTHONDONTWRITEBYTECODE": "",  # compiled once, not by each process
            },
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = {entry["name"]: entry for entry in json.loads(run("methods", "--json"))}
    assert listed["squared"]["label"] == "Logit matching"
    assert "thin8" in run("models", "--json")
    answer = run("run", "study.yaml", "--out", "out")
    assert "Logit matching" in answer
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Logit matching" in report
    assert "Ba and Caruana 2014" in report
    assert "0 damaged" in run("verify", "out")
    finals = [
        results
        for path in (tmp_path / "out" / "runs").rglob("results.json")
        if (results := json.loads(path.read_text()))["kd_type"] == "squared"
    ]
    assert finals
    for results in finals:  # `feat_beta` is Feature-KD's: no other method's beta stands there
        assert results["feat_beta"] is None
        assert results["method_parameters"]["beta"] in (0.5, 1.0)
