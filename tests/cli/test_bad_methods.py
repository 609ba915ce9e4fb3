"""What a method cannot do, asked for: one line, exit code 2, and nothing written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command

Refused = Callable[..., str]

STUDY: dict[str, Any] = {
    "name": "bad",
    "data": {"name": "digits"},
    "models": {"big": {"name": "resnet18"}, "little": {"name": "resnet8", "width": 0.125}},
    "pairs": [{"teacher": "big", "student": "little"}],
    "methods": {"logit": {}},
}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kd_type": "dkdd"}, "unknown method 'dkdd' (did you mean 'dkd'"),
        ({"kd_type": "logit+lojit"}, "unknown method 'lojit' (did you mean 'logit'"),
        ({"kd_type": ["crd", "logit", "crd"]}, "crd is named twice"),
        ({"kd_type": ["none", "logit"]}, "none is plain training"),
        ({"kd_type": ["label_smoothing", "logit"]}, "label_smoothing weighs the cross-entropy in"),
        (
            {"kd_type": "feature", "logit_stop_at": 0.5},
            "logit_stop_at is a hyper-parameter of logit",
        ),
        ({"kd_type": "none", "standardise": True}, "standardise is a hyper-parameter of"),
        ({"kd_type": "at", "kd_weight": float("nan")}, "kd_weight: should be a valid number"),
        ({"kd_type": "at", "kd_weight": -1.0}, "kd_weight: should be greater than or equal to 0"),
        ({"kd_type": "at", "kd_weight": "much"}, "kd_weight: should be a valid number"),
        ({"kd_type": "logit", "crd_negatives": 5}, "is a hyper-parameter of crd, and kd_type is"),
        ({"kd_type": "dkd", "alpha": 0.5}, "alpha is a hyper-parameter of"),
        ({"kd_type": "dkd", "dkd_bta": 2.0}, "unknown key 'dkd_bta' (did you mean 'dkd_beta'"),
        ({"kd_type": ["crd", "logit"], "temperature": 2.0}, "did you mean 'crd_temperature'"),
        ({"kd_type": "none", "kd_warmup": 3}, "is a hyper-parameter of dkd"),
        ({"preset": "repdistiller/resnet56"}, "unknown preset"),
        ({"preset": "lskd/resnet56-resnet20", "kd_type": "logit", "schedule": "cosine"}, "[logit]"),
        (
            {"preset": "dist/resnet56-resnet20"},
            "dist/resnet56-resnet20 lowers the learning rate",
        ),
        ({"schedule": "step"}, "schedule: step needs milestones"),
        ({"milestones": [3]}, "milestones belong to schedule: step"),
        ({"optimiser": "dot"}, "optimiser: dot needs nesterov: false"),
    ],
)
def test_a_run(
    kdgap: Command,
    config: Callable[..., Path],
    refused: Refused,
    settings: dict[str, Any],
    words: str,
) -> None:
    path = config(epochs=4, output_dir="run", **settings)
    assert words in refused(kdgap, "train", path)
    assert not Path("run").exists()


NO_METHOD: list[Any] = [[], "", None, 3, False, "+", [""], ["logit", 3], [["crd"], "logit"], {}]


@pytest.mark.parametrize("written", NO_METHOD, ids=repr)
def test_a_run_names_at_least_one_method(
    kdgap: Command, config: Callable[..., Path], refused: Refused, written: Any
) -> None:
    import yaml

    path = config(output_dir="run")
    path.write_text(path.read_text() + yaml.safe_dump({"kd_type": written}))
    line = refused(kdgap, "train", path)
    assert f"kd_type: {AT_LEAST}, got {written!r}" in line
    assert not Path("run").exists()


@pytest.mark.parametrize("written", NO_METHOD, ids=repr)
def test_a_study_names_at_least_one_method(
    kdgap: Command, workdir: Path, refused: Refused, written: Any
) -> None:
    import yaml

    methods = {"logit": {}, "a": {"method": written}}
    (workdir / "study.yaml").write_text(yaml.safe_dump({**STUDY, "methods": methods}))
    line = refused(kdgap, "plan", "study.yaml")
    assert f"methods.a.method: {AT_LEAST}, got {written!r}" in line
    assert not (workdir / "runs").exists()


AT_LEAST = (
    "a method's name, or a list of at least one method, is needed, such as logit or [crd, logit]"
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": {"crd": {}}}, "16,384"),
        ({"methods": {"fitnet": {"stage": 4}}}, "stage 4, but the student has 3 stages"),
        ({"methods": {"feature": {}}}, "the student has 3 feature stages and the teacher 4"),
        ({"methods": {"dkd": {"weight": 1.0}}}, "methods.dkd: unknown key 'weight' (did you mean"),
        (
            {"methods": {"dkd": {"dkd_beta": 1.0}}},
            "'dkd_beta' (a study calls it beta); it has ce_w",
        ),
        (
            {"methods": {"logit": {"dkd_beta": 1.0}}},
            "methods.logit: unknown key 'dkd_beta' (one of",
        ),
        ({"methods": {"cat_kd": {"pool": 4}}}, "of the student is 2x2; set its pool to at"),
        ({"methods": {"own": {"method": ["crd"], "crd_negatives": 1400}}}, "set its negatives to"),
        ({"methods": {"both": {"method": ["dkd", "dkd"]}}}, "twice"),
        ({"methods": {"at": {"weight": float("inf")}}}, "finite"),
        ({"methods": {"attt": {}}}, "unknown method 'attt'"),
        ({"statistics": {"reference": "lojit"}}, "lojit"),
    ],
)
def test_a_study(
    kdgap: Command, workdir: Path, refused: Refused, changes: dict[str, Any], words: str
) -> None:
    import yaml

    (workdir / "study.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))
    assert words in refused(kdgap, "plan", "study.yaml")
    assert not (workdir / "runs").exists()
